// Mutants breaks the guards of connect one at a time and runs the tests. Some test must
// fail for each.
//
//	go run ./e2e/mutants
//
// It finds the guards in the source. In each function of the list below, every condition
// is a guard: of an if, of a case without a tag, and the result of a function that returns
// a bool. A mutant removes one of them, or one of its operands. The flags of the state
// cookie are guards too. All mutants are compiled into one test program, and an environment
// variable selects one, so a run takes minutes.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A target is a package and its guards.
type target struct {
	dir string
	// functions are the functions with guards, with their receivers' types.
	functions []string
	// fields are the flags in struct literals, with the value that a mutant sets.
	fields map[string]string
	// quick matches fast tests that find most mutants. All tests run if these pass.
	quick string
}

var targets = []target{
	{
		dir: ".",
		functions: []string{
			// The eight proofs.
			"proveFlow", "proveIdentity", "isUsable", "isFresh", "ownedBy",
			"readOutcome", "isCancel",
			"stateCookies.find", "sameState", "stateCookies.open", "stateCookies.sent", "stateCookies.isName", "isHex", "isBase32",
			"unpack",
			"Handler.callback", "Handler.finish", "Handler.connect", "Handler.refuseFlow", "Handler.refuse", "isOf", "Handler.gatherFixed", "Handler.gatherCandidates", "flowEvidence.candidates", "ofAnother", "answerFirst", "canFlush", "Handler.gatherFor",
			"stateCookies.all", "stateCookies.dropReturn", "stateCookies.keptReturn", "returned.says", "returned.known",
			// The store's part of them.
			"MemoryStore.Complete", "MemoryStore.completable", "MemoryStore.add", "MemoryStore.renew", "MemoryStore.SetHealth", "MemoryStore.Disconnect", "MemoryStore.SetLabel", "MemoryStore.Queue",
			// Which connection, and whether it is accepted.
			"Pending.place", "Application.plan", "Handler.ask", "endsFlow", "Handler.discard", "cleanLabel", "Application.setLabel",
			"Application.disconnect", "Application.DisconnectByID", "first",
			// What is learned about a connection, and what is deleted at Anchor.
			"learnedAt", "Handler.verifyApplication", "Handler.Check", "Application.refused", "Handler.isElsewhere", "Completion.agrees", "identityEvidence.isDisposable", "isUnmarked", "Handler.clearUp", "Handler.queueDeletion",
			"isOrphanAge", "reconciler.connection", "reconciler.identitiesOf", "reconciler.identity", "reconciler.found",
			"Application.Adopt", "Handler.storeAdopted", "Handler.proveAdopted", "flowEvidence.refusal",
			// Where a request comes from and leads to.
			"Handler.fromOurPages", "newHosts", "hosts.parse", "hosts.at", "hosts.verify", "TenantUserID", "isFramed", "stateCookies.try", "isLocalPath", "sendTo", "inASCII", "parsePublicURL", "parseDestination", "hasControls", "isLoopback", "withReturnTo",
			"Handler.signedIn", "Application.require",
			// Tokens whose clocks disagree.
			"Handler.start", "Handler.begin", "Application.issue",
			// The application an identity belongs to.
			"project.ask", "namesApplication", "Application.holds", "listing.holds", "listing.search", "listing.find",
			// Who is nobody, and what is no secret.
			"isNobody", "isZero", "looksRandom", "webhookSecretProblem",
			// What ends, and tasks.
			"Handler.DisconnectAll", "Handler.disconnectUnserved", "Handler.logUnserved", "Application.workOn", "lane.run", "pace.limit", "pace.note", "isRefused", "taskDelay",
			// What is bounded.
			"clip", "clipError", "Handler.compareClocks", "logRate.allows", "Event.share", "events.add",
			// Events.
			"readWebhookEvent",
		},
		fields: map[string]string{
			"HttpOnly": "false", "Secure": "false", "SameSite": "http.SameSiteNoneMode",
		},
		quick: "^Test(Accept|Actor|Adopt|All|Answer|Application|Ask|Callback|Check|Client|Clip|Compare|Connect|Cookie|Discard|DisconnectOf|Error|Event|Explain|Failed|Find|First|Fixed|Flow|Framed|From|Gather|HTMX|Handler|Host|Is|Label|Language|Learned|Limit|Listing|Log|Looks|Memory|New|Next|On|Pages|Parse|Place|Popup|Post|Proofs|Read|Reconcile|Require|Return|Routes|Send|Session|Settle|Sign|State|Status|Store|Sweep|Tagged|Task|Template|Tenant|Text|Upstream|User|Validate|Verify|Webhook)",
	},
	{
		dir: "anchorhttp",
		functions: []string{
			// Ids before paths, answers about something else, redirects, bounds.
			"ParseID", "sameID", "Client.send", "Client.ApplicationIdentityPages", "readToken", "IsNotFound", "parseURL", "visible", "acknowledged", "isSessionID",
			// Events.
			"ReadEvent", "ReadSignature", "Signature.Verify", "ParseEvent", "Event.IdentityID", "readMoment",
			// What a refusal means.
			"NeedsSignIn", "Client.EndSession", "Client.sessionEnded", "retry",
		},
		quick: "^Test(Signature|ParseEvent|EventIdentityID|ReadEvent|NeedsSignIn|EndSession|Retr|ParseID|Identity|CreateIdentityToken|Validate|AnswerThat|IsNotFound)",
	},
	{
		dir: "sandbox",
		functions: []string{
			// Who may drive a browser.
			"loopbackHost", "ownOrigin", "listenLoopback", "onlyLoopback", "Server.pathSession", "Server.serveCDP", "equal",
			// What an identity's cookies are worth.
			"Server.works", "Server.cookiesOf",
		},
		quick: "^Test(CDPRefuses|StartErrors|IdentityWithInvalid|IdentityThat)",
	},
	// Not sandbox/internal/chromium: a mutant that kills the wrong processes would kill
	// others on this machine.
}

// equivalent are mutants that do not change the behaviour, by description, with the reason.
// Each of these guards is a second check.
var equivalent = map[string]string{
	`parsePublicURL: u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "", without: u.Hostname() == ""`:                "browserHost refuses it too",
	"isLoopback: err == nil && addr.IsLoopback(), without: err == nil":                                                            "an address that was not parsed is not loopback",
	`isLocalPath: err == nil && u.Scheme == "", without: u.Scheme == ""`:                                                          "what begins with a slash has no scheme",
	`isLocalPath: err == nil && u.Scheme == "" && u.Host == "", without: u.Host == ""`:                                            "what begins with one slash has no host",
	`isLocalPath: err == nil && u.Scheme == "" && u.Host == "" && u.User == nil, without: u.User == nil`:                          "what has no host has no user",
	"listing.search: found || err != nil, without: err != nil":                                                                    "the whole list fails as well",
	"Client.send: c.timeout > 0 && (!ok || time.Until(deadline) > c.timeout), without: (!ok || time.Until(deadline) > c.timeout)": "it only saves a timer",
	"hosts.verify without: h.find == nil":                                                                                         "a set knows no host of nobody's",
	"inASCII without: done == 0":                                                                                                  "it only saves work",
	"stateCookies.open without: !ok":                                                                                              "what we have sealed can be unpacked",
	"readMoment: err != nil || !(n >= 1), without: err != nil":                                                                    "what is no number is zero, or out of range",
}

func main() {
	root := flag.String("root", ".", "the root of the repository")
	only := flag.String("only", "", "test only mutants whose description matches this regular `expression`")
	workers := flag.Int("workers", 2, "the number of concurrent test runs")
	flag.Parse()
	log := os.Stdout
	survivors, total := 0, 0
	for _, t := range targets {
		killed, survived, err := t.run(*root, regexp.MustCompile(*only), *workers)
		if err != nil {
			fmt.Fprintln(os.Stderr, "mutants:", err)
			os.Exit(2)
		}
		total += killed + len(survived)
		for _, m := range survived {
			if why, ok := equivalent[m.what]; ok {
				fmt.Fprintf(log, "equivalent         %s: %s: %s\n", m.at, m.what, why)
				continue
			}
			survivors++
			fmt.Fprintf(log, "SURVIVED           %s: %s\n", m.at, m.what)
		}
	}
	fmt.Fprintf(log, "%d mutants, %d survived\n", total, survivors)
	if survivors > 0 || total == 0 {
		os.Exit(1)
	}
}

// A mutant is a broken guard.
type mutant struct {
	id   int
	at   string // file:line
	what string
}

// run runs the target's tests against each mutant that only matches. It returns the number
// of mutants for which a test failed, and the others.
func (t target) run(root string, only *regexp.Regexp, workers int) (killed int, survived []mutant, err error) {
	dir, err := filepath.Abs(filepath.Join(root, t.dir))
	if err != nil {
		return 0, nil, err
	}
	scratch, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, nil, err
	}
	defer os.RemoveAll(scratch)
	mutants, program, err := t.compile(dir, scratch)
	if err != nil {
		return 0, nil, err
	}
	test := func(id int, tests string) error {
		cmd := exec.Command(program, "-test.run", tests, "-test.failfast", "-test.timeout", "5m")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "MUTANT="+strconv.Itoa(id))
		return cmd.Run()
	}
	const all = "^Test"
	if err := test(0, all); err != nil {
		return 0, nil, fmt.Errorf("the tests of %s fail without a mutant: %w", t.dir, err)
	}

	var mu sync.Mutex
	var running sync.WaitGroup
	places := make(chan struct{}, workers)
	for _, m := range mutants {
		if !only.MatchString(m.at + ": " + m.what) {
			continue
		}
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			err := test(m.id, t.quick)
			if err == nil {
				err = test(m.id, all)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				killed++
				return
			}
			survived = append(survived, m)
		})
	}
	running.Wait()
	slices.SortFunc(survived, func(a, b mutant) int { return a.id - b.id })
	return killed, survived, nil
}

// compile compiles the target's tests, with all mutants, into a program in scratch.
func (t target) compile(dir, scratch string) (mutants []mutant, program string, err error) {
	mutants, overlay, err := t.mutate(dir, scratch)
	if err != nil {
		return nil, "", err
	}
	overlayFile := filepath.Join(scratch, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return nil, "", err
	}
	if err := os.WriteFile(overlayFile, text, 0o600); err != nil {
		return nil, "", err
	}
	program = filepath.Join(scratch, "tests")
	build := exec.Command("go", "test", "-c", "-overlay", overlayFile, "-o", program, ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("compile the mutants of %s: %w\n%s", t.dir, err, out)
	}
	return mutants, program, nil
}

// mutate writes copies of the target's files to scratch, with a switch at each guard. It
// returns the mutants and the overlay.
func (t target) mutate(dir, scratch string) ([]mutant, map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, nil, err
	}
	overlay := make(map[string]string)
	w := &writer{target: t, found: make(map[string]bool)}
	var packageName string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		w.set = token.NewFileSet()
		parsed, err := parser.ParseFile(w.set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		packageName = parsed.Name.Name
		before := len(w.mutants)
		w.file(parsed)
		if len(w.mutants) == before {
			continue
		}
		var out bytes.Buffer
		if err := format.Node(&out, w.set, parsed); err != nil {
			return nil, nil, err
		}
		path := filepath.Join(scratch, filepath.Base(file))
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			return nil, nil, err
		}
		overlay[file] = path
	}
	for _, name := range t.functions {
		if !w.found[name] {
			return nil, nil, fmt.Errorf("%s no longer has a function %s", t.dir, name)
		}
	}
	for name := range t.fields {
		if !w.found[name] {
			return nil, nil, fmt.Errorf("%s no longer has a field %s in a literal", t.dir, name)
		}
	}
	path := filepath.Join(scratch, "mutants_switch.go")
	if err := os.WriteFile(path, fmt.Appendf(nil, switchSource, packageName), 0o600); err != nil {
		return nil, nil, err
	}
	overlay[filepath.Join(dir, "mutants_switch.go")] = path
	return w.mutants, overlay, nil
}

// switchSource is a file that is added to the mutated package.
const switchSource = `package %s

import (
	"os"
	"strconv"
)

var activeMutant, _ = strconv.Atoi(os.Getenv("MUTANT"))

// broken returns the value of a guard, or instead if this mutant is active.
func broken[T any](id int, value, instead T) T {
	if id == activeMutant {
		return instead
	}
	return value
}

// gone reports whether this mutant is active.
func gone(id int) bool { return id == activeMutant }
`

// A writer adds the switches.
type writer struct {
	target
	set     *token.FileSet
	mutants []mutant
	found   map[string]bool
}

func (w *writer) file(f *ast.File) {
	for _, declaration := range f.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || function.Body == nil {
			continue
		}
		w.literals(function)
		name := functionName(function)
		if slices.Contains(w.functions, name) {
			w.found[name] = true
			w.guards(function, name)
		}
	}
}

func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) != 1 {
		return f.Name.Name
	}
	of := f.Recv.List[0].Type
	if pointer, ok := of.(*ast.StarExpr); ok {
		of = pointer.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

// literals breaks the flags.
func (w *writer) literals(f *ast.FuncDecl) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		pair, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, ok := pair.Key.(*ast.Ident)
		if !ok {
			return true
		}
		if instead, ok := w.fields[key.Name]; ok {
			w.found[key.Name] = true
			pair.Value = w.broken(pair.Value, pair.Pos(), instead, functionName(f)+": the flag "+key.Name+" is "+instead)
		}
		return true
	})
}

// guards breaks the conditions of a function.
func (w *writer) guards(f *ast.FuncDecl, name string) {
	predicate := f.Type.Results != nil && len(f.Type.Results.List) == 1 && isIdent(f.Type.Results.List[0].Type, "bool")
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.IfStmt:
			n.Cond = w.condition(n.Cond, name)
		case *ast.SwitchStmt:
			if n.Tag != nil {
				return true
			}
			for _, clause := range n.Body.List {
				list := clause.(*ast.CaseClause).List
				for i := range list {
					list[i] = w.condition(list[i], name)
				}
			}
		case *ast.ReturnStmt:
			if predicate && len(n.Results) == 1 && !isIdent(n.Results[0], "true") && !isIdent(n.Results[0], "false") {
				n.Results[0] = w.answer(n.Results[0], name)
			}
		}
		return true
	})
}

// condition breaks a guard: it never holds. Of operands joined by ||, each is broken by
// itself; of operands joined by &&, each is assumed to hold.
func (w *writer) condition(e ast.Expr, name string) ast.Expr {
	if failureOf(e) {
		return e // It returns an error and is not a guard.
	}
	whole, at := text(w.set, e), e.Pos()
	e = w.operands(e, name)
	return w.broken(e, at, "false", name+" without: "+whole)
}

// answer makes a predicate always return true, and always false.
func (w *writer) answer(e ast.Expr, name string) ast.Expr {
	whole, at := text(w.set, e), e.Pos()
	e = w.operands(e, name)
	e = w.broken(e, at, "true", name+" always returns true: "+whole)
	return w.broken(e, at, "false", name+" always returns false: "+whole)
}

func (w *writer) operands(e ast.Expr, name string) ast.Expr {
	both, ok := e.(*ast.BinaryExpr)
	if !ok || both.Op != token.LAND && both.Op != token.LOR {
		if inner, ok := e.(*ast.ParenExpr); ok {
			inner.X = w.operands(inner.X, name)
		}
		return e
	}
	neutral := "true"
	if both.Op == token.LOR {
		neutral = "false"
	}
	whole := text(w.set, both)
	for _, side := range []*ast.Expr{&both.X, &both.Y} {
		inner, nested := (*side).(*ast.BinaryExpr)
		if nested && inner.Op == both.Op {
			*side = w.operands(*side, name)
			continue
		}
		what, at := fmt.Sprintf("%s: %s, without: %s", name, whole, text(w.set, *side)), (*side).Pos()
		*side = w.broken(w.operands(*side, name), at, neutral, what)
	}
	return both
}

// broken returns a switch. It still contains the value, so that all variables are used.
func (w *writer) broken(value ast.Expr, at token.Pos, instead, what string) ast.Expr {
	id := len(w.mutants) + 1
	position := w.set.Position(at)
	w.mutants = append(w.mutants, mutant{id, fmt.Sprintf("%s:%d", filepath.Base(position.Filename), position.Line), what})
	number := &ast.BasicLit{Kind: token.INT, Value: strconv.Itoa(id)}
	switch instead {
	case "false": // !gone(id) && value
		return &ast.ParenExpr{X: &ast.BinaryExpr{Op: token.LAND, X: &ast.UnaryExpr{Op: token.NOT, X: call("gone", number)}, Y: &ast.ParenExpr{X: value}}}
	case "true": // gone(id) || value
		return &ast.ParenExpr{X: &ast.BinaryExpr{Op: token.LOR, X: call("gone", number), Y: &ast.ParenExpr{X: value}}}
	}
	other, err := parser.ParseExpr(instead)
	if err != nil {
		panic(err) // The values are those of fields.
	}
	return call("broken", number, value, other)
}

func call(name string, arguments ...ast.Expr) ast.Expr {
	return &ast.CallExpr{Fun: ast.NewIdent(name), Args: arguments}
}

// failureOf reports whether e is "err != nil", which is not a guard.
func failureOf(e ast.Expr) bool {
	compare, ok := e.(*ast.BinaryExpr)
	return ok && compare.Op == token.NEQ && isIdent(compare.X, "err") && isIdent(compare.Y, "nil")
}

func isIdent(e ast.Expr, name string) bool {
	ident, ok := e.(*ast.Ident)
	return ok && ident.Name == name
}

// text returns an expression on one line.
func text(set *token.FileSet, e ast.Expr) string {
	var b bytes.Buffer
	if err := format.Node(&b, set, e); err != nil {
		return "?"
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
