package connect_test

import (
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestTheTemplatesInTheDocsServe(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/pages.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```html\n(\\{\\{define.*?)```").FindAllSubmatch(text, -1)
	require.Len(t, blocks, 3)
	for _, block := range blocks {
		_, err := newWith(t, string(block[1]))
		require.NoError(t, err)
		require.Contains(t, everyPage(newSite(t, templates(t, string(block[1]))))["connect"].body, "Errand")
	}
}

func TestTheDocsNameEveryFieldOfAPage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/pages.md")
	require.NoError(t, err)
	for _, page := range []any{connect.ConnectPage{}, connect.ConnectedAccount{}, connect.NoticePage{}, connect.RepeatPage{}, connect.PopupPage{}} {
		require.Contains(t, string(text), "`"+reflect.TypeOf(page).Name()+"`")
		for _, field := range reflect.VisibleFields(reflect.TypeOf(page)) {
			if !field.Anonymous && field.IsExported() {
				require.Contains(t, string(text), "`."+field.Name+"`")
			}
		}
	}
}
