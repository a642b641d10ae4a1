package anchorhttp

import (
	"context"
	"encoding/json"
	"iter"
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

// ApplicationIdentities iterates over the identities of an application, each once,
// in the order in which Anchor lists them. Pages are fetched as the loop comes to
// them, each of them a call with a timeout and retries of its own; the end of the
// list costs one call more. The list is as long as the application has identities,
// so ctx should have a deadline, or the loop an end.
//
// After an error, which comes with a zero value, the iteration is over.
//
// Paging is not documented: a server may answer everything at each call, or pages
// of another size than asked for. The list therefore ends with a page that brings
// nothing new, not with a short one.
func (c *Client) ApplicationIdentities(ctx context.Context, applicationID string, f IdentityFilter) iter.Seq2[ApplicationIdentity, error] {
	filter := url.Values{"limit": {strconv.Itoa(pageSize)}}
	if f.Search != "" {
		filter.Set("search", f.Search)
	}
	if len(f.Metadata) > 0 {
		metadata, _ := json.Marshal(f.Metadata) // Strings can always be encoded.
		filter.Set("metadata", string(metadata))
	}
	return func(yield func(ApplicationIdentity, error) bool) {
		seen := make(map[string]bool)
		for page := 1; ; page++ {
			items, err := c.identitiesPage(ctx, applicationID, filter, page)
			if err != nil {
				yield(ApplicationIdentity{}, err)
				return
			}
			news := false
			for _, item := range items {
				if seen[item.ID] {
					continue
				}
				seen[item.ID], news = true, true
				if !yield(item, nil) {
					return
				}
			}
			if !news {
				return
			}
		}
	}
}

func (c *Client) identitiesPage(ctx context.Context, applicationID string, filter url.Values, page int) ([]ApplicationIdentity, error) {
	query := url.Values{"page": {strconv.Itoa(page)}}
	for name, values := range filter {
		query[name] = values
	}
	r := request{method: http.MethodGet, path: "/v1/applications/{id}/identities", id: applicationID, query: query}
	return call(ctx, c, r, readIdentities)
}

func readIdentities(a answer) ([]ApplicationIdentity, error) {
	v, err := decode[struct {
		// RawMessage tells a list that is null, which is empty, from one that is
		// missing.
		Identities json.RawMessage `json:"identities"`
	}](a)
	if err != nil {
		return nil, err
	}
	if v.Identities == nil {
		return nil, invalid("it has no list of identities")
	}
	var items []ApplicationIdentity
	if err := json.Unmarshal(v.Identities, &items); err != nil {
		return nil, notJSON(err)
	}
	for i := range items {
		id, ok := ParseID(items[i].ID)
		if !ok {
			return nil, invalid("it lists an identity without an id, or with one that is no UUID")
		}
		items[i].ID = id
	}
	return items, nil
}
