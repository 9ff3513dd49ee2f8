package replay

import "github.com/apexsalesai/runmetrics/events"

// Chosen is a set of runs. It takes about 200 bytes for each.
type Chosen struct {
	runs  map[events.Key]struct{}
	names map[names]struct{} // without phases, which subjects do not have
}

type names struct{ campaignID, runID string }

// NewChosen makes an empty set.
func NewChosen() *Chosen {
	return &Chosen{runs: make(map[events.Key]struct{}), names: make(map[names]struct{})}
}

func (c *Chosen) add(key events.Key) {
	c.runs[key] = struct{}{}
	c.names[names{key.CampaignID, key.RunID}] = struct{}{}
}

// Len is how many runs there are.
func (c *Chosen) Len() int { return len(c.runs) }

// Has tells whether the run is in the set.
func (c *Chosen) Has(key events.Key) bool {
	_, has := c.runs[key]
	return has
}

// Subject tells whether messages on the subject may belong to a run of the set.
func (c *Chosen) Subject(subject string) bool {
	campaignID, runID, err := events.ParseSubject(subject)
	if err != nil {
		return true // it will be refused, and counted
	}
	_, has := c.names[names{campaignID, runID}]
	return has
}
