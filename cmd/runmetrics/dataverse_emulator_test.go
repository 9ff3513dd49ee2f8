package main

import (
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// emulatorURL waits for the address that an emulator prints.
func (p *process) emulatorURL(t *testing.T) string {
	t.Helper()
	var url string
	eventually(t, "the emulator is up", func() bool {
		url = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`).FindString(p.stdout.String())
		return url != ""
	})
	return url
}

// emulatorEnviron reaches it as its help says.
func emulatorEnviron(url string) map[string]string {
	return map[string]string{"USE_DATAVERSE": "true", "DATAVERSE_URL": url, "DATAVERSE_AUTHORITY": url,
		"DATAVERSE_TENANT_ID": emulatorTenant, "DATAVERSE_CLIENT_ID": emulatorClient, "DATAVERSE_CLIENT_SECRET": emulatorSecret}
}

func TestDataverseEmulatorKeepsRowsAndRefusesAStranger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"dataverse-emulator", "--listen", "127.0.0.1:0", "--data", dir}
	p := start(t, nil, args...)
	environ := emulatorEnviron(p.emulatorURL(t))
	client := testClient(t, environ)
	table := testTable(t, client)
	id, err := client.Create(t.Context(), table.EntitySet, dataverse.Row{"apex_campaignid": "kept"})
	if err != nil {
		t.Fatal(err)
	}
	call(t, nil, "", args...).want(t, exitFailure) // the directory is in use
	p.stop(t)

	p = start(t, nil, append(args, "--client", "studio")...)
	maps.Copy(environ, map[string]string{"DATAVERSE_URL": p.emulatorURL(t), "DATAVERSE_AUTHORITY": p.emulatorURL(t)})
	if _, err := testClient(t, environ).WhoAmI(t.Context()); err == nil || !strings.Contains(err.Error(), "DATAVERSE_CLIENT_ID") {
		t.Errorf("a client that is not known gets %v", err)
	}
	environ["DATAVERSE_CLIENT_ID"] = "studio"
	row, err := testClient(t, environ).Get(t.Context(), table.EntitySet, id, "apex_campaignid")
	if err != nil || row["apex_campaignid"] != "kept" {
		t.Errorf("kept %v, %v", row, err)
	}
}

func TestDataverseEmulatorListensToOthersOnlyWithASecret(t *testing.T) {
	t.Parallel()
	r := call(t, nil, "", "dataverse-emulator", "--listen", "0.0.0.0:0")
	r.want(t, exitUsage)
	if !strings.Contains(r.stderr, "DATAVERSE_CLIENT_SECRET") {
		t.Errorf("says %q", r.stderr)
	}
	r = call(t, nil, "", "dataverse-emulator", "--listen", "8900")
	r.want(t, exitUsage)
	wantParts(t, r.stderr, "--listen", "is not host:port", emulatorListen)
}

// What it prints is copied into a shell, and then a command finds it.
func TestDataverseEmulatorPrintsWhatAShellTakes(t *testing.T) {
	t.Parallel()
	for _, own := range []string{"", "its own & 'secret'"} {
		p := start(t, map[string]string{"DATAVERSE_CLIENT_SECRET": own}, "dataverse-emulator", "--listen", "0.0.0.0:0", "--insecure")
		p.emulatorURL(t)
		eventually(t, "all of it is printed", func() bool { return strings.Contains(p.stdout.String(), "$top=3'\n") })
		if own != "" && strings.Contains(p.stdout.String(), own) {
			t.Error("shows the secret")
		}
		var exports []string
		for line := range strings.Lines(p.stdout.String()) {
			if strings.HasPrefix(line, "  export ") {
				exports = append(exports, line)
			}
		}
		shell := exec.Command("sh", "-c", strings.Join(exports, "")+"env")
		shell.Env = []string{"PATH=" + os.Getenv("PATH"), "DATAVERSE_CLIENT_SECRET=" + own}
		said, err := shell.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		environ := make(map[string]string)
		for line := range strings.Lines(string(said)) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			environ[name] = value
		}
		call(t, environ, "", "dataverse", "recent").want(t, exitOK)
		p.stop(t)
	}
}

func TestDataverseEmulatorFailsOnDemand(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "dataverse-emulator", "--listen", "127.0.0.1:0")
	url := p.emulatorURL(t)
	client := testClient(t, emulatorEnviron(url))
	response, err := http.Post(url+"/emulator/faults", "application/json", strings.NewReader(`{"kind":"throttle","times":1,"retryAfter":"7s"}`))
	if err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("%d: %s", response.StatusCode, said)
	}
	_, err = client.WhoAmI(t.Context())
	if wait, throttled := dataverse.Throttled(err); !throttled || wait.Seconds() != 7 {
		t.Errorf("%v asks for a pause of %s", err, wait)
	}
	if _, err := client.WhoAmI(t.Context()); err != nil {
		t.Errorf("a fault for one time comes again: %v", err)
	}
}

// TestDevKeepsACopy in an emulator that outlives it with the rest of its files.
func TestDevKeepsACopy(t *testing.T) {
	t.Parallel()
	environ := embedded(t)
	p := start(t, environ, "dev")
	at := p.up(t)
	eventually(t, "rows are copied", func() bool {
		var ready struct{ Dataverse struct{ Delivered int } }
		get(t, at.API+"/readyz", &ready)
		return ready.Dataverse.Delivered > 0
	})
	p.stop(t)
	p = start(t, environ, "dev", "--no-agents")
	p.up(t)
	url := regexp.MustCompile(`Dataverse +(http://127\.0\.0\.1:[0-9]+)`).FindStringSubmatch(p.stdout.String())
	if url == nil {
		t.Fatalf("dev does not say where its Dataverse is: %s", p.stdout.String())
	}
	client := testClient(t, emulatorEnviron(url[1]))
	rows, _, err := client.Page(t.Context(), testTable(t, client).EntitySet, dataverse.Query{Top: 5}, "")
	if err != nil || len(rows) == 0 {
		t.Errorf("%d rows of the first run, %v", len(rows), err)
	}
}
