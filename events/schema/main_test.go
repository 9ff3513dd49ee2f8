package schema_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain has thousands of random events looked at, unless the command line says how many: a hundred find little.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	checks := "3000"
	if testing.Short() {
		checks = "500"
	}
	if !given {
		if err := flag.Set("rapid.checks", checks); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
