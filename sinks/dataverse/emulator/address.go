package emulator

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// forbiddenInKeys are the characters with which a value of an alternate key cannot stand in a URL.
const forbiddenInKeys = `/<>*%&:\?+`

// target is what the parentheses behind an entity set address.
type target struct {
	row *row // nil if it does not exist

	id uuid.UUID // where it is addressed by id

	key    *alternateKey // else
	values []assignment  // of the key's columns
}

// target resolves the parentheses.
func (t *table) target(args string) (target, *apiError) {
	if id, ok := parseID(args); ok {
		return target{row: t.row(id), id: id}, nil
	}
	pairs, ok := splitPairs(args)
	if !ok {
		return target{}, badSyntax()
	}
	if id, ok := parseID(pairs[0].value); ok && len(pairs) == 1 && pairs[0].name == t.PrimaryID {
		return target{row: t.row(id), id: id}, nil
	}
	return t.targetByKey(pairs)
}

func (t *table) targetByKey(pairs []pair) (target, *apiError) {
	var names []string
	for _, p := range pairs {
		names = append(names, p.name)
		if t.column(p.name) == nil {
			return target{}, badQuery("The key in the request URI is not valid for resource '%s'. Ensure that the names and"+
				" number of key properties match the declared or alternate key properties for the resource '%s'.",
				t.odataType(), t.odataType())
		}
	}
	k := t.activeKey(names)
	if k == nil {
		return target{}, badRequest("0x80060890",
			"The specified key attributes are not a defined key for the %s entity", t.LogicalName)
	}
	found := target{key: k}
	probe := make([]value, t.cells())
	for i := range probe {
		probe[i] = null
	}
	for _, p := range pairs {
		c := t.column(p.name)
		v, ok := c.parse(p.value)
		switch {
		case !ok || p.quoted != c.isText() || v == null,
			c.isText() && strings.ContainsAny(p.value, forbiddenInKeys),
			c.Type == typeInteger && v[0] != tagInt:
			return target{}, badSyntax()
		}
		found.values = append(found.values, assignment{c, v})
		probe[c.Position] = v
	}
	v, _ := keyOf(&row{cells: joined(probe)}, k.columns(t.definition))
	found.row = t.keys[k.LogicalName][v]
	return found, nil
}

// missing says that the target does not exist.
func (t *table) missing(to target) *apiError {
	if to.key == nil {
		return t.noRow(to.id)
	}
	return &apiError{http.StatusNotFound, "0x80060891",
		fmt.Sprintf("A record with the specified key values does not exist in %s entity", t.LogicalName)}
}

// parseID reads a GUID as it stands in URLs.
func parseID(text string) (uuid.UUID, bool) {
	id, err := uuid.Parse(text)
	return id, err == nil && len(text) == 36
}

// pair is name=value.
type pair struct {
	name, value string
	quoted      bool
}

// splitPairs reads name='value',name=value. A quote within quotes is doubled.
func splitPairs(text string) ([]pair, bool) {
	var pairs []pair
	for {
		name, rest, ok := strings.Cut(text, "=")
		p := pair{name: strings.TrimSpace(name)}
		if !ok || p.name == "" {
			return nil, false
		}
		if strings.HasPrefix(rest, "'") {
			p.quoted = true
			if p.value, text, ok = cutQuoted(rest); !ok {
				return nil, false
			}
		} else {
			end := strings.IndexByte(rest+",", ',')
			p.value, text = rest[:end], rest[end:]
		}
		pairs = append(pairs, p)
		if text == "" {
			return pairs, true
		}
		if text, ok = strings.CutPrefix(text, ","); !ok {
			return nil, false
		}
	}
}

// cutQuoted takes the quoted text at the beginning, and returns it without its quotes.
func cutQuoted(text string) (inside, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != '\'':
			b.WriteByte(text[i])
		case i+1 < len(text) && text[i+1] == '\'':
			b.WriteByte('\'')
			i++
		default:
			return b.String(), text[i+1:], true
		}
	}
	return "", "", false
}
