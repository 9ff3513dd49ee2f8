package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"
)

// outputFormat is who reads what a command prints.
type outputFormat string

// The formats.
const (
	textOutput outputFormat = "text" // people
	jsonOutput outputFormat = "json" // programs
)

// outputFlag adds --output.
func outputFlag(cmd *cobra.Command, format *outputFormat) {
	*format = textOutput
	cmd.Flags().Var(format, "output", "`text` for people or json for programs")
}

// Set reads the flag.
func (o *outputFormat) Set(s string) error {
	switch format := outputFormat(s); format {
	case textOutput, jsonOutput:
		*o = format
		return nil
	}
	return errors.New("must be text or json")
}

// String is the flag's value.
func (o *outputFormat) String() string { return string(*o) }

// Type names the flag's values in the help.
func (o *outputFormat) Type() string { return "text" }

// printable makes foreign text fit for a terminal: what would move the cursor, change colours or turn the direction of
// reading becomes a mark.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, s)
}

// writeColumns prints lines of cells below each other, also where a terminal shows a character two cells wide.
func writeColumns(w io.Writer, lines [][]string) error {
	widths := make(map[int]int)
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], uniseg.StringWidth(cell))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		last := len(line) - 1
		for i, cell := range line[:last] {
			b.WriteString(cell + strings.Repeat(" ", widths[i]+2-uniseg.StringWidth(cell)))
		}
		b.WriteString(line[last] + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeJSON prints a value as indented JSON. The standard library escapes the control characters of ASCII; here the others
// are too, so that a terminal cannot tell it from any text.
func writeJSON(w io.Writer, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, c := range string(text) {
		switch {
		case c == '\n' || unicode.IsPrint(c):
			b.WriteRune(c)
		case c > 0xFFFF:
			high, low := utf16.EncodeRune(c)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	_, err = fmt.Fprintln(w, b.String())
	return err
}
