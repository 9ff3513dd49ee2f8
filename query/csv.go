package query

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// recordFields are the names of a record's fields as the API shows them, in its order.
var recordFields = func() []string {
	var names []string
	for field := range reflect.TypeFor[aggregate.Metrics]().Fields() {
		names = append(names, field.Tag.Get("json"))
	}
	return names
}()

// csvWriter writes records by RFC 4180.
type csvWriter struct {
	*csv.Writer
	cells []string // of the line that is written
}

func newCSVWriter(w http.ResponseWriter) recordWriter {
	lines := csv.NewWriter(w)
	lines.UseCRLF = true
	return &csvWriter{Writer: lines, cells: make([]string, len(recordFields))}
}

func (c *csvWriter) begin() error {
	if err := c.Write(recordFields); err != nil {
		return err
	}
	c.Flush()
	return c.Error()
}

func (c *csvWriter) write(records []aggregate.Metrics) error {
	for i := range records {
		record := reflect.ValueOf(&records[i]).Elem()
		for f := range c.cells {
			cell, err := cellOf(record.Field(f))
			if err != nil {
				return err
			}
			c.cells[f] = cell
		}
		if err := c.Write(c.cells); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// cellOf writes a field as JSON does: null is empty, and a text has no quotes.
func cellOf(field reflect.Value) (string, error) {
	if field.Kind() == reflect.String {
		return plainText(field.String()), nil
	}
	text, err := json.Marshal(field.Interface())
	if err != nil {
		return "", fmt.Errorf("write cell: %w", err)
	}
	if string(text) == "null" {
		return "", nil
	}
	return strings.Trim(string(text), `"`), nil // a time or a UUID has no quotes inside
}

// plainText keeps a spreadsheet from taking a text for a formula. Some take the wide forms of the signs for signs.
func plainText(s string) string {
	if strings.IndexAny(s, "=+-@\t\r＝＋－＠") == 0 {
		return "'" + s
	}
	return s
}
