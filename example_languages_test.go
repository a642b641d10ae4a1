package connect_test

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"

	"github.com/anchorconnect/connect"
)

// The user's choice takes precedence over Accept-Language. Dutch is an added language.
func ExampleConfig_texts() {
	app := newDemoApp(func(config *connect.Config) {
		// docs: pages
		config.Language = func(r *http.Request) string {
			cookie, err := r.Cookie("language") // or a column of your users table
			if err != nil {
				return "" // Accept-Language decides.
			}
			return cookie.Value
		}
		config.Texts = map[string]map[string]string{
			"en": {"connect.promise": "Errand never sees your password.", "app.help": "Need help, {name}?"},
			"nl": {"connect.title": "Koppel je account", "app.help": "Hulp nodig, {name}?"}, // and so on
		}
		// docs: end
		config.Templates = template.Must(template.New("").Parse(
			`{{define "connect"}}{{.Lang}}: {{.Title}}. {{.Text "app.help" "name" "Ada"}} {{.Action}}{{.ReturnTo}}{{end}}`))
	})
	defer app.close()
	choose := func(language string) {
		address, err := url.Parse(app.server.URL)
		if err != nil {
			panic(err)
		}
		app.browser.Jar.SetCookies(address, []*http.Cookie{{Name: "language", Value: language}})
	}
	app.get("/connect")
	choose("nl-BE")
	app.get("/connect")
	choose("de")
	app.get("/connect")
	// Output:
	// 200 en: Connect your account. Need help, Ada? /connect
	// 200 nl: Koppel je account. Hulp nodig, Ada? /connect
	// 200 de: Ihr Konto verbinden. Need help, Ada? /connect
}

// A test in the app finds the texts that its own language lacks.
func ExampleBuiltInTexts() {
	dutch := connect.BuiltInTexts("en") // stands for the app's own file
	delete(dutch, "step.back")

	// docs: pages
	for key, english := range connect.BuiltInTexts("en") {
		if _, ok := dutch[key]; !ok {
			fmt.Printf("%s: %q is missing\n", key, english)
		}
	}
	// docs: end
	// Output:
	// step.back: "Go back" is missing
}

// An app's own error handler explains an error in the language of the request.
func ExampleLocale_Explain() {
	var h *connect.Handler
	app := newDemoApp(func(config *connect.Config) {
		config.Language = func(*http.Request) string { return "es" }
		// docs: errors
		config.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			e := h.Locale(r).Explain(err)
			http.Error(w, e.Title+"\n"+e.Help, e.Status)
		}
		// docs: end
	})
	defer app.close()
	h = app.connect
	app.get("/identity-callback/AN-OLD-LINK")
	// Output:
	// 403 Termina en el navegador en el que empezaste
	// No empezaste en este navegador, o fue hace más de una hora, o las cookies están desactivadas. Vuelve al navegador en el que empezaste o empieza de nuevo aquí.
}
