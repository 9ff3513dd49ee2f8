package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
)

// consequence is what a setting of a stream that is not as it must be leads to.
type consequence struct {
	verdict string
	why     string
	anew    bool // the server changes it of no stream that is there
}

// consequences are by the names that mendStream gives the settings. The others are warnings without a word.
var consequences = map[string]consequence{
	"storage":          {verdictFail, "all events are gone when the server restarts", true},
	"retention":        {verdictFail, "events are gone once they were read, so that nothing can be read again", true},
	"discard":          {verdictFail, "a full stream drops its oldest events, read or not, and nobody is told", false},
	"max age":          {verdictWarn, "events that nobody has read until then are gone", false},
	"max messages":     {verdictWarn, "publishers are refused when there are that many", false},
	"max message size": {verdictWarn, "larger events are refused", false},
	"max bytes":        {verdictWarn, "it may fill the disk of the server, which stops all its streams", false},
	"deny delete":      {verdictWarn, "single events can be deleted, which nobody notices", false},
	"direct get":       {verdictWarn, "after a restart it cannot be told whether this is the stream that was read", false},
	"duplicates window": {verdictWarn, "what publishers send again within two minutes may be stored twice, and " +
		"is dropped later", false},
	"subjects": {verdictFail, "events of some runs may go nowhere, or twice", false},
}

// examineSettings tells of the settings by which events are lost, those that lose most first.
func (d *doctor) examineSettings(subject string, info *jetstream.StreamInfo, differs []string) {
	have := info.Config
	var list []checked
	for _, difference := range differs {
		name, _, _ := strings.Cut(difference, ": ")
		of := consequences[name]
		if name == "subjects" && oneOfSeveral(have) {
			continue // the others may be another service's; where events go is looked at for all of them
		}
		switch {
		case name == "max age" && (have.MaxAge == 0 || have.MaxAge > 0 && have.MaxAge >= leastOutageHours*30*time.Hour),
			name == "max message size" && have.MaxMsgSize > largestEvent:
			of = consequence{verdict: verdictWarn}
		case name == "max age" && have.MaxAge < leastOutageHours*time.Hour,
			name == "max message size" && have.MaxMsgSize >= 0 && have.MaxMsgSize < largestEvent:
			of.verdict = verdictFail
		}
		finding, fix := "is not as it must be: "+difference, d.setupFix()
		if of.why != "" {
			finding += "; as it is, " + of.why
		}
		if of.anew {
			fix = fmt.Sprintf("let runmetrics run read it to its end, `nats stream rm %s`, and make it anew: %s",
				have.Name, d.setupFix())
		}
		list = append(list, checked{of.verdict, areaNATS, subject, finding, fix})
	}
	list = append(list, unmended(subject, have)...)
	slices.SortStableFunc(list, func(x, y checked) int { return strings.Compare(x.Verdict, y.Verdict) })
	for _, c := range list {
		d.add(c)
	}
}

// oneOfSeveral tells whether a stream has the subjects of its number, and so was made as one of several.
func oneOfSeveral(have jetstream.StreamConfig) bool {
	number := partition.FindStringSubmatch(have.Name)
	return number != nil && slices.Equal(have.Subjects, []string{events.SubjectPrefix + "." + number[1] + ".*.*"})
}

// unmended are faults in settings that setup leaves alone.
func unmended(subject string, have jetstream.StreamConfig) []checked {
	var list []checked
	edit := func(verdict, finding, flags string) {
		list = append(list, checked{verdict, areaNATS, subject, finding,
			fmt.Sprintf("`nats stream edit %s %s`", have.Name, flags)})
	}
	if n := have.MaxMsgsPerSubject; n > 0 {
		edit(verdictFail, fmt.Sprintf("it keeps at most %d events of each run, and drops older ones or refuses "+
			"new ones", n), "--max-msgs-per-subject=-1")
	}
	if have.NoAck {
		edit(verdictFail, "it acknowledges nothing: publishers cannot know what was stored", "--ack")
	}
	if have.AllowRollup {
		edit(verdictWarn, "whoever publishes may delete older events by a header", "--no-allow-rollup")
	}
	if have.Sealed {
		list = append(list, checked{verdictFail, areaNATS, subject, "it is sealed: it takes no events for ever",
			fmt.Sprintf("let runmetrics run read it to its end, `nats stream rm %s`, and make it anew: "+
				"runmetrics setup", have.Name)})
	}
	return list
}

// examineCopies says on how many servers the stream lies, and what that means when one dies.
func (d *doctor) examineCopies(subject string, info *jetstream.StreamInfo) {
	clustered := info.Cluster != nil && info.Cluster.Name != ""
	switch {
	case !d.cfg.NATSURL.IsSet():
		d.examineSync(subject)
	case clustered && info.Config.Replicas < 2:
		d.warn(areaNATS, subject, fmt.Sprintf("one copy, in cluster %s: nobody can publish while server %s is "+
			"away, and its disk holds all there is",
			info.Cluster.Name, info.Cluster.Leader), fmt.Sprintf("`nats stream edit %s --replicas=3`", info.Config.Name))
	case clustered:
		d.examineReplicas(subject, info)
	default:
		d.ok(areaNATS, subject, "one copy, on one server: when its machine dies, events of the last two minutes "+
			"may be gone, unless nats.conf has "+
			"jetstream { sync_interval: always }, which cannot be seen from here")
	}
}

// examineReplicas tells whether the copies of a stream are up to date.
func (d *doctor) examineReplicas(subject string, info *jetstream.StreamInfo) {
	well := true
	for _, peer := range info.Cluster.Replicas {
		if peer.Offline || !peer.Current {
			well = false
			d.warn(areaNATS, subject, fmt.Sprintf("the copy on server %s is not up to date, %d messages behind; "+
				"offline: %t", peer.Name, peer.Lag, peer.Offline),
				"start that server; if it is gone for good: `nats server cluster peer-remove "+peer.Name+"`")
		}
	}
	if well {
		d.ok(areaNATS, subject, fmt.Sprintf("%d copies, all up to date", info.Config.Replicas))
	}
}

// examineSync is about the embedded server, whose one copy lies on this machine.
func (d *doctor) examineSync(subject string) {
	if every := d.cfg.sync(SyncAlways); every != SyncAlways {
		d.warn(areaNATS, subject, fmt.Sprintf("one copy, and NATS_SYNC is %s: acknowledged events of that time "+
			"are gone when this machine dies", time.Duration(every)),
			"set NATS_SYNC=always, or leave it out, and restart runmetrics run")
		return
	}
	d.ok(areaNATS, subject, "one copy, on this machine; runmetrics run syncs it before each acknowledgement, dev every 2m")
}
