package events_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
)

func TestSubjects(t *testing.T) {
	for _, c := range []struct{ campaign, run, subject string }{
		{"c-1", "r_1", "runs.c-1.r_1"},
		{"a.b/🚀", "run 1", "runs.a%2Eb%2F%F0%9F%9A%80.run%201"},
		{"*", ">", "runs.%2A.%3E"},
		{"100%", "%2E", "runs.100%25.%252E"},
		{"é", "e\u0301", "runs.%C3%A9.e%CC%81"},
	} {
		if got := events.Subject(c.campaign, c.run); got != c.subject {
			t.Errorf("Subject(%q, %q) = %s, want %s", c.campaign, c.run, got, c.subject)
		}
		for _, prefix := range []string{"", "p.3.", "x.y.z."} {
			subject := prefix + c.subject
			campaign, run, err := events.ParseSubject(subject)
			if err != nil || campaign != c.campaign || run != c.run {
				t.Errorf("ParseSubject(%s) = %q, %q, %v", subject, campaign, run, err)
			}
		}
	}
}

func TestBadSubjects(t *testing.T) {
	for _, subject := range []string{"", "runs", "c.r", ".", "runs.%.r", "runs.c.%4", "runs.c.%4g", "runs.%ZZ.r", "runs.c%.r"} {
		if campaign, run, err := events.ParseSubject(subject); err == nil {
			t.Errorf("ParseSubject(%q) = %q, %q, want an error", subject, campaign, run)
		}
	}
}

func TestSubjectMustNameTheEventsRun(t *testing.T) {
	w := sample(events.AgentFinished).with("campaignId", `"a.b/🚀 *"`).with("runId", `"run 1"`)
	for subject, want := range map[string]string{
		"": "", // no transport, no check
		"runs.a%2Eb%2F%F0%9F%9A%80%20%2A.run%201":  "",
		"p.3.a%2Eb%2F%F0%9F%9A%80%20%2A.run%201":   "",
		"p.3.a%2eb%2f%f0%9f%9a%80%20%2a.r%75n%201": "", // what the tokens decode to is what counts
		"runs.a%2Eb%2F%F0%9F%9A%80%20%2A.run%202":  "runId",
		"runs.a%2EB%2F%F0%9F%9A%80%20%2A.run%201":  "campaignId",
		"runs.c.r":           "campaignId runId",
		"runs.a.b/🚀 *.run 1": "campaignId", // a dot that is not encoded parts tokens
		"runs..":             "campaignId runId",
		"runs":               "subject",
		"runs.%.run%201":     "subject",
		"runs.a%2Eb%2F%F0%9F%9A%80%20%2A.run%201.2-3": "campaignId runId",
	} {
		_, rejected := events.Decode(events.Message{Subject: subject, Data: w.json()})
		if want == "" {
			if rejected != nil {
				t.Errorf("%s: %v", subject, rejected)
			}
			continue
		}
		if rejected == nil || rejected.Reason != events.SubjectMismatch {
			t.Errorf("%s: %v, want subject_mismatch", subject, rejected)
			continue
		}
		var names []string
		for _, f := range rejected.Fields {
			names = append(names, f.Field)
		}
		if got := strings.Join(names, " "); got != want && (want != "subject" || !strings.HasPrefix(rejected.Detail, "subject ")) {
			t.Errorf("%s: %v names %q, want %q", subject, rejected, got, want)
		}
	}
}

func TestAnInvalidEventIsInvalidWhateverItsSubject(t *testing.T) {
	_, rejected := events.Decode(events.Message{Subject: "runs.x.y", Data: sample(events.AgentFinished).with("phase", ``).json()})
	if rejected == nil || rejected.Reason != events.Invalid || rejected.Field() != "phase" {
		t.Errorf("got %v, want invalid phase", rejected)
	}
}

func TestMessageIDs(t *testing.T) {
	for id, want := range map[string]string{
		"0192f3a4-7c1e-7b52-9d3a-5f6e7a8b9c0d":          "0192f3a4-7c1e-7b52-9d3a-5f6e7a8b9c0d",
		"0192F3A4-7C1E-7B52-9D3A-5F6E7A8B9C0D":          "0192F3A4-7C1E-7B52-9D3A-5F6E7A8B9C0D",
		"00000000-0000-0000-0000-000000000000":          "00000000-0000-0000-0000-000000000000",
		"e-1":                                           "a%2Eb/run%201/2-3/e-1",
		"a/b 🚀":                                         "a%2Eb/run%201/2-3/a%2Fb%20%F0%9F%9A%80",
		"0192f3a47c1e7b529d3a5f6e7a8b9c0d":              "a%2Eb/run%201/2-3/0192f3a47c1e7b529d3a5f6e7a8b9c0d",
		"urn:uuid:0192f3a4-7c1e-7b52-9d3a-5f6e7a8b9c0d": "a%2Eb/run%201/2-3/urn%3Auuid%3A0192f3a4-7c1e-7b52-9d3a-5f6e7a8b9c0d",
		"{0192f3a4-7c1e-7b52-9d3a-5f6e7a8b9c0d}":        "a%2Eb/run%201/2-3/%7B0192f3a4-7c1e-7b52-9d3a-5f6e7a8b9c0d%7D",
		"0192f3a4-7c1e-7b52-9d3a-5f6e7a8b9c0g":          "a%2Eb/run%201/2-3/0192f3a4-7c1e-7b52-9d3a-5f6e7a8b9c0g",
		"0192f3a4_7c1e-7b52-9d3a-5f6e7a8b9c0d":          "a%2Eb/run%201/2-3/0192f3a4_7c1e-7b52-9d3a-5f6e7a8b9c0d",
	} {
		e := events.Event{Key: events.Key{CampaignID: "a.b", RunID: "run 1", Phase: "2-3"}, ID: id}
		if got := events.MessageID(&e); got != want {
			t.Errorf("MessageID of %q = %s, want %s", id, got, want)
		}
	}
}

// The file is the contract with other languages: every implementation must compute the same keys.
func TestRunKeys(t *testing.T) {
	raw, err := os.ReadFile("../testdata/runkey.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ CampaignID, RunID, Phase, RunKey string }
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, v := range vectors {
		key := events.Key{CampaignID: v.CampaignID, RunID: v.RunID, Phase: v.Phase}
		if got := key.UUID(); got.String() != v.RunKey || got.Version() != 5 || got.Variant() != uuid.RFC4122 {
			t.Errorf("%q has the key %s, want %s", key, got, v.RunKey)
		}
		seen[v.RunKey] = true
	}
	if len(seen) != len(vectors) || !seen["f39f6b5c-ea9d-54ef-85e4-8874211c4577"] || !seen["8f8faafb-c3c6-530b-8feb-94a85084c981"] {
		t.Errorf("%d vectors have %d keys, and the two of the contract must be among them", len(vectors), len(seen))
	}
}

func FuzzSubject(f *testing.F) {
	for _, seed := range []string{"", "a", "a.b/🚀", "run 1", "*", ">", "%", "%2", "%2E", "runs.%41.%2e", "\xff\x00", ".", "..", "a.b.c.d"} {
		f.Add(seed, "r")
		f.Add("c", seed)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		token := events.EncodeToken(a)
		if strings.ContainsAny(token, " .*>/\t\r\n\x00") || !utf8.ValidString(token) {
			t.Fatalf("%q is encoded as %q, which is no subject token", a, token)
		}
		subject := events.Subject(a, b)
		campaign, run, err := events.ParseSubject(subject)
		if err != nil || campaign != a || run != b {
			t.Fatalf("%s reads as %q, %q (%v), want %q, %q", subject, campaign, run, err, a, b)
		}
		if campaign, run, err := events.ParseSubject(a); err == nil {
			again, twice, err := events.ParseSubject(events.Subject(campaign, run))
			if err != nil || again != campaign || twice != run {
				t.Fatalf("%q reads as %q, %q, which do not survive encoding (%v)", a, campaign, run, err)
			}
		}
	})
}
