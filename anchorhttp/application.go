package anchorhttp

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// An Application is a site that people connect their accounts of.
type Application struct {
	// ID is a UUID in lower case.
	ID string `json:"id"`
	// Name is the display name.
	Name string `json:"name"`
	// URL is the address of the site; empty if it has none.
	URL string `json:"url"`
	// CreatedAt is by Anchor's clock; zero if not told.
	CreatedAt time.Time `json:"created_at"`
}

// Application returns the application with this id. An unknown one is an [*Error]
// with status 404. An answer about another one is [ErrInvalidAnswer].
func (c *Client) Application(ctx context.Context, id string) (Application, error) {
	r := request{method: http.MethodGet, path: "/v1/applications/{id}", id: id}
	return call(ctx, c, r, func(a answer) (Application, error) {
		v, err := decode[Application](a)
		if err == nil {
			v.ID, err = sameID(v.ID, id)
		}
		return v, err
	})
}

// An ApplicationIdentity is an identity as the list of an application shows it:
// without source and metadata.
type ApplicationIdentity struct {
	// ID is a UUID in lower case.
	ID string `json:"id"`
	// Name is the display name.
	Name string `json:"name"`
	// Status is one of the statuses of an [Identity].
	Status string `json:"status"`
	// CreatedAt and UpdatedAt are by Anchor's clock; zero if not told.
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// Date is when Anchor answered with this page of the list, as in an [Identity].
	Date time.Time `json:"-"`
}

// An IdentityFilter narrows the list of an application's identities, as Anchor
// understands it. The zero value is all of them.
type IdentityFilter struct {
	// Search looks for identities by name.
	Search string
	// Metadata wants these keys in the metadata, with these values.
	Metadata map[string]string
}

// pageSize is what Anchor's own command line asks for.
const pageSize = 50

// Applications returns the applications of the key's project.
func (c *Client) Applications(ctx context.Context) ([]Application, error) {
	r := request{method: http.MethodGet, path: "/v1/applications"}
	return call(ctx, c, r, func(a answer) ([]Application, error) { return readList[Application](a, "applications") })
}

// ApplicationIdentities iterates over the identities of an application, in the
// order in which Anchor lists them. Pages are fetched as the loop reaches them,
// each with a call that has a timeout and retries of its own, and the end of the
// list costs one call more. The list is as long as the application has
// identities, so give ctx a deadline or the loop an end. Memory is bounded by a
// page.
//
// After an error, which comes with a zero value, the iteration is over. An
// identity may come twice when the list changes meanwhile.
//
// Paging is not documented: a server may answer everything at each call, or pages
// of another size than asked for. The list therefore ends with a page that brings
// nothing that the page before did not have, not with a short one.
func (c *Client) ApplicationIdentities(ctx context.Context, applicationID string, f IdentityFilter) iter.Seq2[ApplicationIdentity, error] {
	pages := c.ApplicationIdentityPages(ctx, applicationID, f)
	return func(yield func(ApplicationIdentity, error) bool) {
		for page, err := range pages {
			if err != nil {
				yield(ApplicationIdentity{}, err)
				return
			}
			for _, item := range page {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

// ApplicationIdentityPages is [Client.ApplicationIdentities] page by page, for
// callers that bound the number of calls: each page is one. No page is empty.
func (c *Client) ApplicationIdentityPages(ctx context.Context, applicationID string, f IdentityFilter) iter.Seq2[[]ApplicationIdentity, error] {
	filter := url.Values{"limit": {strconv.Itoa(pageSize)}}
	if f.Search != "" {
		filter.Set("search", f.Search)
	}
	if len(f.Metadata) > 0 {
		metadata, _ := json.Marshal(f.Metadata) // Strings can always be encoded.
		filter.Set("metadata", string(metadata))
	}
	return func(yield func([]ApplicationIdentity, error) bool) {
		var before map[string]bool // the ids of the page before
		for page := 1; ; page++ {
			items, err := c.identitiesPage(ctx, applicationID, filter, page)
			if err != nil {
				yield(nil, err)
				return
			}
			ids := make(map[string]bool, len(items))
			var news []ApplicationIdentity
			for _, item := range items {
				if !ids[item.ID] && !before[item.ID] {
					news = append(news, item)
				}
				ids[item.ID] = true
			}
			if len(news) == 0 || !yield(news, nil) {
				return
			}
			before = ids
		}
	}
}

func (c *Client) identitiesPage(ctx context.Context, applicationID string, filter url.Values, page int) ([]ApplicationIdentity, error) {
	query := maps.Clone(filter)
	query.Set("page", strconv.Itoa(page))
	r := request{method: http.MethodGet, path: "/v1/applications/{id}/identities", id: applicationID, query: query}
	return call(ctx, c, r, func(a answer) ([]ApplicationIdentity, error) {
		items, err := readList[ApplicationIdentity](a, "identities")
		date := dateOf(a.header)
		for i := range items {
			items[i].Date = date
		}
		return items, err
	})
}

// listed is an item of a list.
type listed[T any] interface {
	listID() string
	withListID(id string) T
}

func (i ApplicationIdentity) listID() string { return i.ID }
func (a Application) listID() string         { return a.ID }

func (i ApplicationIdentity) withListID(id string) ApplicationIdentity { i.ID = id; return i }
func (a Application) withListID(id string) Application                 { a.ID = id; return a }

// readList reads the list in a field of the answer.
func readList[T listed[T]](a answer, field string) ([]T, error) {
	// RawMessage distinguishes a list that is null, which is empty, from one that
	// is missing.
	v, err := decode[map[string]json.RawMessage](a)
	if err != nil {
		return nil, err
	}
	if v[field] == nil {
		return nil, invalid("it has no list of " + field)
	}
	var items []T
	if err := json.Unmarshal(v[field], &items); err != nil {
		return nil, notJSON(err)
	}
	for i, item := range items {
		id, ok := ParseID(item.listID())
		if !ok {
			return nil, invalid("it lists one of the " + field + " without an id, or with one that is no UUID")
		}
		items[i] = item.withListID(id)
	}
	return items, nil
}
