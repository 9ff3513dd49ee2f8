package dataverse

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// largestPage is how many rows the service puts on a page at the most.
const largestPage = 5000

// Query selects rows. The zero value selects all, with all their columns, in no order.
type Query struct {
	Select   []string // columns
	Filter   string   // OData, with text by Quote: "apex_runid eq " + Quote(id)
	OrderBy  string   // such as "apex_createdat desc,apex_campaignmetricid"
	Top      int      // how many rows at the most; 0: all
	PageSize int      // rows of one request, 1 to 5,000; 0: 5,000
}

// Quote writes text as a literal of a filter.
func Quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// Query returns rows page by page as they are asked for. It ends with the first error.
func (c *Client) Query(ctx context.Context, set string, q Query) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		left := q.Top
		for next := ""; ; {
			rows, following, err := c.Page(ctx, set, q, next)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
			if next = following; next == "" {
				return
			}
		}
	}
}

// Page returns one page and the link to the next, empty on the last page. Without a link it is the first page. With the
// link and the same query a read goes on where another one stopped, some hours later too. Top limits all pages together only
// where it is not above PageSize.
func (c *Client) Page(ctx context.Context, set string, q Query, nextLink string) (rows []Row, next string, err error) {
	op := "query rows of " + set
	size := q.PageSize
	if size <= 0 || size > largestPage {
		size = largestPage
	}
	r := request{op: op, method: http.MethodGet, header: http.Header{}, url: c.url(url.PathEscape(set)) + q.options(size)}
	if q.Top == 0 || q.Top > size { // Dataverse ignores $top beside a page size
		r.header.Set("Prefer", "odata.maxpagesize="+strconv.Itoa(size))
	}
	if nextLink != "" {
		if err := c.checkLink(nextLink); err != nil {
			return nil, "", fmt.Errorf("%s: %w", op, err)
		}
		r.url = nextLink
	}
	answer, err := c.do(ctx, r)
	if err != nil {
		return nil, "", err
	}
	var page struct {
		Value []Row  `json:"value"`
		Next  string `json:"@odata.nextLink"`
	}
	err = answer.decode(op, &page)
	return page.Value, page.Next, err
}

// options are those of the first page's URL.
func (q Query) options(size int) string {
	var options []string
	add := func(name, value string) {
		if value != "" {
			options = append(options, option(name, value))
		}
	}
	add("$select", strings.Join(q.Select, ","))
	add("$filter", q.Filter)
	add("$orderby", q.OrderBy)
	if q.Top > 0 && q.Top <= size {
		add("$top", strconv.Itoa(q.Top))
	}
	if len(options) == 0 {
		return ""
	}
	return "?" + strings.Join(options, "&")
}

// option writes one option of a URL, with spaces that no server takes for a plus.
func option(name, value string) string {
	return name + "=" + strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
}

// checkLink keeps the token from any other host: links come from the answers.
func (c *Client) checkLink(link string) error {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != c.organization.Scheme || !strings.EqualFold(u.Host, c.organization.Host) || u.User != nil ||
		!strings.HasPrefix(u.Path, "/api/data/") {
		return blocked{fmt.Errorf("the link to the next page leaves %s", c.organization.Host)}
	}
	return nil
}
