package dataverse

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
)

// Row is a row of a table by logical names of columns. Values to write are string, int64, json.Number, bool and nil; a
// float is refused, because it could not hold the money. In rows that were read every number is a json.Number with the
// digits that came, and annotations such as @odata.etag stand among the columns.
type Row map[string]any

// encode writes a row as a JSON object. It fails on a value that Row does not allow.
func (r Row) encode() ([]byte, error) {
	for column, value := range r {
		switch value.(type) {
		case nil, string, bool, int64, json.Number:
		default:
			return nil, fmt.Errorf("%w: %s is a %T, which no row may hold", sinks.ErrRefused, column, value)
		}
	}
	b, err := json.Marshal(map[string]any(r))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", sinks.ErrRefused, err)
	}
	return b, nil
}

// decode reads the body of an answer; numbers keep their digits.
func (r *response) decode(op string, into any) error {
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s: %w: the answer is not what Dataverse says: %s", op, sinks.ErrUnavailable, clean(err.Error()))
	}
	return nil
}

// dopHint is how many requests at once the service recommends, 0 where it says nothing.
func (r *response) dopHint() int {
	hint, err := strconv.Atoi(r.header.Get("x-ms-dop-hint"))
	if err != nil {
		return 0
	}
	return max(0, hint)
}

// Create makes a row under an id that Dataverse chooses, which it returns. It must not be repeated when its outcome is
// unknown: there would be two. Upsert can be.
func (c *Client) Create(ctx context.Context, set string, row Row) (uuid.UUID, error) {
	op := "create a row of " + set
	body, err := row.encode()
	if err != nil {
		return uuid.Nil, fmt.Errorf("%s: %w", op, err)
	}
	answer, err := c.do(ctx, request{op: op, method: http.MethodPost, url: c.url(url.PathEscape(set)), body: body})
	if err != nil {
		return uuid.Nil, err
	}
	id, err := idIn(answer.header)
	if err != nil {
		return uuid.Nil, fmt.Errorf("%s: it exists, but %w", op, err)
	}
	return id, nil
}

var idOfEntity = regexp.MustCompile(`\(([0-9a-fA-F-]{36})\)$`)

// idIn finds the id of a new row in the headers of the answer.
func idIn(h http.Header) (uuid.UUID, error) {
	for _, name := range []string{"OData-EntityId", "Location"} {
		if found := idOfEntity.FindStringSubmatch(h.Get(name)); found != nil {
			return uuid.Parse(found[1])
		}
	}
	return uuid.Nil, fmt.Errorf("%w: the answer has no id", sinks.ErrUnavailable)
}

// Get reads columns of a row, all without any named. A row that is not there is ErrNoRow.
func (c *Client) Get(ctx context.Context, set string, id uuid.UUID, columns ...string) (Row, error) {
	op := "read a row of " + set
	path := rowPath(set, id)
	if len(columns) > 0 {
		path += "?" + option("$select", strings.Join(columns, ","))
	}
	answer, err := c.do(ctx, request{op: op, method: http.MethodGet, url: c.url(path)})
	if err != nil {
		return nil, err
	}
	var row Row
	return row, answer.decode(op, &row)
}

// Update changes the given columns of a row. One that is not there is ErrNoRow.
func (c *Client) Update(ctx context.Context, set string, id uuid.UUID, row Row) error {
	return c.patch(ctx, "update a row of "+set, rowPath(set, id), row, http.Header{"If-Match": {"*"}})
}

// Upsert changes the given columns of a row, or makes it under this id where it is not there.
func (c *Client) Upsert(ctx context.Context, set string, id uuid.UUID, row Row) error {
	return c.patch(ctx, "upsert a row of "+set, rowPath(set, id), row, nil)
}

func (c *Client) patch(ctx context.Context, op, path string, row Row, header http.Header) error {
	body, err := row.encode()
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	_, err = c.do(ctx, request{op: op, method: http.MethodPatch, url: c.url(path), header: header, body: body})
	return err
}

// Delete removes a row. One that is not there is ErrNoRow.
func (c *Client) Delete(ctx context.Context, set string, id uuid.UUID) error {
	_, err := c.do(ctx, request{op: "delete a row of " + set, method: http.MethodDelete, url: c.url(rowPath(set, id))})
	return err
}

func rowPath(set string, id uuid.UUID) string { return url.PathEscape(set) + "(" + id.String() + ")" }
