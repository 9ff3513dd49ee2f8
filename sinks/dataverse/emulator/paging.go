package emulator

import (
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// cookie is where a page begins: behind a row, which may have changed or gone since.
type cookie struct {
	page int  // from 1
	last *row // with the values by which the query sorts; nil: at the beginning
}

// The cookie in a $skiptoken, as the service writes it: XML that holds escaped XML.
//
//	<cookie pagenumber="2" pagingcookie="%3ccookie page=…%3e" istracking="False" />
//	<cookie page="1"><apex_createdat last="2026-01-01T00:00:00Z" /><apex_campaignmetricid last="{…}" first="{…}" /></cookie>
type (
	outerCookie struct {
		XMLName xml.Name `xml:"cookie"`
		Page    int      `xml:"pagenumber,attr"`
		Inner   string   `xml:"pagingcookie,attr"`
		Tracked string   `xml:"istracking,attr"`
	}
	innerCookie struct {
		XMLName xml.Name     `xml:"cookie"`
		Page    int          `xml:"page,attr"`
		Columns []cookieCell `xml:",any"`
	}
	cookieCell struct {
		XMLName  xml.Name
		Last     string `xml:"last,attr,omitempty"`
		LastNull string `xml:"lastnull,attr,omitempty"`
	}
)

// nextLink is the address of the page behind the row.
func (l *listing) nextLink(last *row) string {
	page := max(l.from.page, 1)
	inner := innerCookie{Page: page}
	for _, t := range l.terms() {
		v := t.column.of(last)
		cell := cookieCell{XMLName: xml.Name{Local: t.column.LogicalName}}
		if v == null {
			cell.LastNull = "1"
		} else {
			cell.Last = t.column.plain(v)
		}
		inner.Columns = append(inner.Columns, cell)
	}
	innerText, _ := xml.Marshal(inner) // texts and numbers always can
	outerText, _ := xml.Marshal(outerCookie{Page: page + 1, Inner: url.QueryEscape(string(innerText)), Tracked: "False"})
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s?", l.base, l.table.EntitySet)
	for _, name := range []string{"$select", "$filter", "$orderby", "$top", "$count"} {
		if text, given := l.query[name]; given {
			fmt.Fprintf(&b, "%s=%s&", name, escapeOption(text))
		}
	}
	return b.String() + "$skiptoken=" + escapeOption(string(outerText))
}

// escapeOption escapes the value of a query option, spaces as %20.
func escapeOption(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// readCookie reads a $skiptoken. One that is not of this query is refused.
func (l *listing) readCookie(text string) (cookie, *apiError) {
	if text == "" {
		return cookie{}, nil
	}
	bad := badQuery("Malformed XML in the Paging Cookie")
	var outer outerCookie
	if err := xml.Unmarshal([]byte(text), &outer); err != nil {
		return cookie{}, bad
	}
	innerText, err := url.QueryUnescape(outer.Inner)
	if err != nil {
		return cookie{}, bad
	}
	var inner innerCookie
	if err := xml.Unmarshal([]byte(innerText), &inner); err != nil {
		return cookie{}, bad
	}
	last, ok := l.probe(inner.Columns)
	if !ok {
		return cookie{}, bad
	}
	return cookie{page: outer.Page, last: last}, nil
}

// terms are what the page is sorted by, to the last.
func (l *listing) terms() ordering { return append(slices.Clone(l.order), term{column: l.table.id()}) }

// probe is a row with the values of a cookie and no others. It stands in the order where the row stood.
func (l *listing) probe(cells []cookieCell) (*row, bool) {
	terms := l.terms()
	if len(cells) != len(terms) {
		return nil, false
	}
	r := &row{}
	values := r.values(l.table.cells())
	for i, t := range terms {
		v, ok := null, true
		if cells[i].LastNull == "" {
			v, ok = t.column.parse(cells[i].Last)
		}
		if !ok || cells[i].XMLName.Local != t.column.LogicalName {
			return nil, false
		}
		switch t.column.Position {
		case byID:
			r.id, ok = v.id()
		case byVersion:
			r.version, ok = v.int(), v[0] == tagInt
		default:
			values[t.column.Position] = v
		}
		if !ok {
			return nil, false
		}
	}
	r.cells = joined(values)
	return r, true
}
