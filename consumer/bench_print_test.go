package consumer_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

// newest says in a line what the last round measured.
func (t *table) newest() string {
	rate := func(l *line) string { return thousands(l.samples[len(l.samples)-1].rate) }
	p99 := func(l *line) float64 { return ms(l.samples[len(l.samples)-1].p99) }
	return fmt.Sprintf("bare %s, Postgres %s, SQLite %s, distant %s, "+
		"rows %s, in arrays %s, COPY %s, upsert %s events/s; p99 %.1f ms, distant %.1f ms",
		rate(t.bare), rate(t.postgres), rate(t.sqlite), rate(t.distant), rate(t.rows), rate(t.distinct), rate(t.copied),
		rate(t.upsert),
		p99(t.delays[0]), p99(t.delays[1]))
}

func (t *table) print() {
	const row = "%-44s %9s  %8s %-17s  %-17s  %5s %5s\n"
	fmt.Printf("\n%d processors, shared by broker, pipeline, clients and database; %d rounds by turns, median (least–greatest).\n",
		runtime.NumCPU(), len(t.bare.samples))
	fmt.Printf("Ratios are of the same round. The last columns are processor seconds for a million events: of the Go process,\n" +
		"in which the broker is, and of Postgres.\n\n")
	fmt.Printf(row, "", "events", "events/s", "", "of the bare read", "Go", "Postgres")
	for _, s := range t.sections {
		fmt.Println(s.title)
		for _, l := range s.lines {
			rates := l.rates()
			fmt.Printf(row, "  "+l.name, thousands(float64(l.events)),
				thousands(median(rates)), extent(rates, thousands), l.ratios(l.of),
				tenths(median(l.values(func(s sample) float64 { return s.own }))),
				tenths(median(l.values(func(s sample) float64 { return s.postgres }))))
		}
	}
	fmt.Println()
	for _, pair := range [][2]*line{
		{t.postgres, t.rows}, {t.postgres, t.distinct}, {t.postgres, t.copied}, {t.postgres, t.upsert}, {t.distant, t.postgres}} {
		fmt.Printf("%-80s %s\n", pair[0].name+" / "+pair[1].name, pair[0].ratios(pair[1]))
	}
	fmt.Println()
	t.printLooks()
	t.printDelays()
}

// values are what the rounds measured.
func (l *line) values(of func(sample) float64) []float64 {
	list := make([]float64, len(l.samples))
	for i, s := range l.samples {
		list[i] = of(s)
	}
	return list
}

func (l *line) rates() []float64 { return l.values(func(s sample) float64 { return s.rate }) }

// to are the line's rates divided by the other's, round by round.
func (l *line) to(other *line) []float64 {
	list := l.rates()
	for i, rate := range other.rates() {
		list[i] /= rate
	}
	return list
}

func (l *line) ratios(other *line) string {
	if other == nil {
		return ""
	}
	list := l.to(other)
	return hundredths(median(list)) + " " + extent(list, hundredths)
}

func (t *table) printLooks() {
	for _, l := range []struct {
		at     string
		events int
		looks  looks
	}{{"the view over raw rows", t.distinct.events, t.views}, {"what the pipeline stored", t.postgres.events, t.ours}} {
		fmt.Printf("a look at %s, %s events: all runs %.1f ms %s, one run %.1f ms %s\n", l.at, thousands(float64(l.events)),
			median(l.looks.all), extent(l.looks.all, tenths), median(l.looks.one), extent(l.looks.one, tenths))
	}
	fmt.Println()
}

func (t *table) printDelays() {
	fmt.Printf("from before the publish to the announcement of the commit, %d events/s for %d s, ms\n",
		delayRate, delaySeconds-1)
	for _, l := range t.delays {
		p50 := l.values(func(s sample) float64 { return ms(s.p50) })
		p99 := l.values(func(s sample) float64 { return ms(s.p99) })
		fmt.Printf("  %-42s p50 %5s %-14s p99 %5s %-14s\n", l.name,
			tenths(median(p50)), extent(p50, tenths), tenths(median(p99)), extent(p99, tenths))
	}
	fmt.Println()
}

// report gives the benchmark's own line, which benchstat compares, what the table is about.
func (t *table) report(b *testing.B) {
	b.ReportMetric(median(t.postgres.to(t.bare)), "postgres/bare")
	b.ReportMetric(median(t.sqlite.to(t.bare)), "sqlite/bare")
	b.ReportMetric(median(t.postgres.to(t.rows)), "postgres/rows")
	b.ReportMetric(median(t.distant.to(t.postgres)), "distant/local")
	b.ReportMetric(median(t.delays[0].values(func(s sample) float64 { return ms(s.p99) })), "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// extent is the least and the greatest.
func extent(list []float64, text func(float64) string) string {
	return "(" + text(slices.Min(list)) + "–" + text(slices.Max(list)) + ")"
}

func tenths(x float64) string     { return fmt.Sprintf("%.1f", x) }
func hundredths(x float64) string { return fmt.Sprintf("%.2f", x) }

// thousands writes a whole number with commas.
func thousands(x float64) string {
	text := fmt.Sprintf("%.0f", x)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
