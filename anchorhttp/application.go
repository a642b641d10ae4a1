package anchorhttp

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// An Application is a site at which users connect their accounts.
type Application struct {
	// ID is a UUID in lower case.
	ID string `json:"id"`
	// Name is the display name.
	Name string `json:"name"`
	// URL is the address of the site. It may be empty.
	URL string `json:"url"`
	// CreatedAt is by Anchor's clock. It is zero if the answer lacks it.
	CreatedAt time.Time `json:"created_at"`
	// Date is when Anchor answered, as in an [Identity]. It is zero in a list.
	Date time.Time `json:"-"`
}

// Application returns the application with the given id. An unknown application is
// an [*Error] with status 404. An answer about another application is
// [ErrInvalidAnswer].
func (c *Client) Application(ctx context.Context, id string) (Application, error) {
	r := request{method: http.MethodGet, path: "/v1/applications/{id}", id: id}
	return call(ctx, c, r, func(a answer) (Application, error) {
		v, err := decode[Application](a)
		if err == nil {
			v.ID, err = sameID(v.ID, id)
			v.Date = dateOf(a.header)
		}
		return v, err
	})
}

// An ApplicationIdentity is an identity in the list of an application, without
// source and metadata.
type ApplicationIdentity struct {
	// ID is a UUID in lower case.
	ID string `json:"id"`
	// Name is the display name.
	Name string `json:"name"`
	// Status is as in an [Identity].
	Status string `json:"status"`
	// CreatedAt and UpdatedAt are by Anchor's clock. They are zero if the answer
	// lacks them.
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// Date is when Anchor answered with this page, as in an [Identity].
	Date time.Time `json:"-"`
}

// An IdentityFilter selects identities of an application. Anchor evaluates it. The
// zero value selects all.
type IdentityFilter struct {
	// Search selects identities by name.
	Search string
	// Metadata selects identities whose metadata has these keys with these values.
	Metadata map[string]string
}

// pageSize is the page size that Anchor's own command line requests.
const pageSize = 50

// Applications returns the applications of the API key's project.
func (c *Client) Applications(ctx context.Context) ([]Application, error) {
	r := request{method: http.MethodGet, path: "/v1/applications"}
	return call(ctx, c, r, func(a answer) ([]Application, error) { return readList[Application](a, "applications") })
}

// ApplicationIdentities returns an iterator over the identities of an application,
// in Anchor's order. It fetches a page when the loop reaches it. Each page is a call
// with its own timeout and retries, and the end of the list takes one more call. The
// list grows with the application, so set a deadline on ctx or end the loop. Memory
// is bounded by the size of a page.
//
// An error comes with a zero value and ends the iteration. If the list changes
// meanwhile, an identity may occur twice.
//
// Anchor does not document paging. A server may return the whole list for each page,
// or pages of another size. So the list ends with a page that has nothing new
// compared with the page before, not with a short page.
//
// An answer larger than 1 MiB, such as a whole list of some thousand identities, is
// read while the loop runs. The client's timeouts do not limit it, but it must not
// stall for longer than [WithAttemptTimeout]. It is not retried: if it breaks off,
// the loop first gets what has arrived, then an error. Memory is bounded by 1,000
// identities and about 40 bytes for each identity in the answer.
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

// ApplicationIdentityPages is like [Client.ApplicationIdentities], but iterates over
// pages. It is meant for callers that limit the number of calls, since each page is
// one. No page is empty. The caller may keep and modify a page. An answer larger
// than 1 MiB is split into pages of up to 1,000 identities.
func (c *Client) ApplicationIdentityPages(ctx context.Context, applicationID string, f IdentityFilter) iter.Seq2[[]ApplicationIdentity, error] {
	filter := url.Values{"limit": {strconv.Itoa(pageSize)}}
	if f.Search != "" {
		filter.Set("search", f.Search)
	}
	if len(f.Metadata) > 0 {
		metadata, _ := json.Marshal(f.Metadata) // Encoding strings never fails.
		filter.Set("metadata", string(metadata))
	}
	return func(yield func([]ApplicationIdentity, error) bool) {
		var before map[uuid]bool // the ids on the previous page
		for page := 1; ; page++ {
			ids, news, stopped := make(map[uuid]bool), false, false
			err := c.identitiesPage(ctx, applicationID, filter, page, func(items []ApplicationIdentity) bool {
				fresh := items[:0]
				for _, item := range items {
					id := uuidOf(item.ID)
					if !ids[id] && !before[id] {
						fresh = append(fresh, item)
					}
					ids[id] = true
				}
				if len(fresh) > 0 {
					news = true
					stopped = !yield(fresh, nil)
				}
				// A long answer that begins with nothing new repeats the previous one.
				return !stopped && news
			})
			switch {
			case stopped:
				return
			case err != nil:
				yield(nil, err)
				return
			case !news:
				return
			}
			before = ids
		}
	}
}

// identitiesPage calls each with the identities of a page: all at once, or in parts
// if there are very many, until each returns false. each may keep the slice.
func (c *Client) identitiesPage(ctx context.Context, applicationID string, filter url.Values, page int, each func([]ApplicationIdentity) bool) error {
	query := maps.Clone(filter)
	query.Set("page", strconv.Itoa(page))
	const field = "identities"
	dated := func(h http.Header, items []ApplicationIdentity) bool {
		date := dateOf(h)
		for i := range items {
			items[i].Date = date
		}
		return each(items)
	}
	r := request{
		method: http.MethodGet, path: "/v1/applications/{id}/identities", id: applicationID, query: query,
		stream: func(h http.Header, body io.Reader) error {
			return streamList(body, field, func(items []ApplicationIdentity) bool { return dated(h, items) })
		},
	}
	type list struct {
		header http.Header
		items  []ApplicationIdentity
	}
	l, err := call(ctx, c, r, func(a answer) (list, error) {
		if a.streamed {
			return list{}, nil
		}
		items, err := readList[ApplicationIdentity](a, field)
		return list{a.header, items}, err
	})
	if err == nil && len(l.items) > 0 {
		dated(l.header, l.items)
	}
	return err
}

// A uuid is the compact form of an id.
type uuid [16]byte

func uuidOf(id string) (u uuid) {
	_, _ = hex.Decode(u[:], []byte(strings.ReplaceAll(id, "-", ""))) // ParseID has accepted id.
	return u
}

// listed is implemented by the items of a list.
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
	// RawMessage distinguishes a list that is null, which is empty, from a missing
	// one.
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
			return nil, noListID(field)
		}
		items[i] = item.withListID(id)
	}
	return items, nil
}

// noListID returns the error of a list with an item that has no valid id.
func noListID(field string) error {
	return invalid("one of its " + field + " has no id, or an id that is not a UUID")
}
