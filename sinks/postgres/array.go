package postgres

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// array is a parameter with one element for each row. It is encoded straight from the rows, without a slice of its own:
// binary where the driver knows the parameter's type, as text in the modes of pgx in which it does not.
type array struct {
	length int
	at     func(i int) any // nil is NULL
}

// Dimensions, Index and IndexType make it a pgtype.ArrayGetter.
func (a array) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(a.length), LowerBound: 1}}
}

// Index returns an element.
func (a array) Index(i int) any { return a.at(i) }

// IndexType returns an element as an example of all.
func (a array) IndexType() any {
	if a.length == 0 {
		return nil
	}
	return a.at(0)
}

// TextValue writes the array as Postgres reads it: {"a","b",NULL}.
func (a array) TextValue() (pgtype.Text, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i := range a.length {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeElement(&b, a.at(i)); err != nil {
			return pgtype.Text{}, err
		}
	}
	b.WriteByte('}')
	return pgtype.Text{String: b.String(), Valid: true}, nil
}

var quoteElement = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func writeElement(b *strings.Builder, element any) error {
	switch e := element.(type) {
	case nil:
		b.WriteString("NULL")
	case int64:
		b.WriteString(strconv.FormatInt(e, 10))
	case bool:
		b.WriteString(strconv.FormatBool(e))
	case time.Time:
		b.WriteString(e.UTC().Format(`"2006-01-02T15:04:05.999999Z"`))
	case pgtype.UUID:
		b.WriteString(uuid.UUID(e.Bytes).String())
	case string:
		b.WriteByte('"')
		_, _ = quoteElement.WriteString(b, e) // a strings.Builder takes all
		b.WriteByte('"')
	case []byte:
		return writeElement(b, string(e))
	default:
		return fmt.Errorf("write array: no text for %T", element)
	}
	return nil
}

// arrayOf is the array of a slice.
func arrayOf[T any](list []T, element func(*T) any) array {
	return array{len(list), func(i int) any { return element(&list[i]) }}
}

// keyArray is a parameter of type uuid[].
func keyArray(keys []uuid.UUID) array {
	return arrayOf(keys, func(key *uuid.UUID) any { return pgtype.UUID{Bytes: *key, Valid: true} })
}
