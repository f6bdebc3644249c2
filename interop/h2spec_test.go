package interop

import (
	"encoding/xml"
	"path/filepath"
	"testing"
)

// h2specCases is how many cases the pinned version has in strict mode. Fewer
// would mean that some were not run.
const h2specCases = 146

// h2specExceptions are cases in which the simulator does on purpose what h2spec
// calls wrong, by suite and description, each with the reason. There is none
// today. One that passes again has to go.
var h2specExceptions = map[string]string{}

// TestSimulatorAndH2spec runs the conformance suite that HTTP/2 servers are
// usually held to (RFC 7540 and 7541).
func TestSimulatorAndH2spec(t *testing.T) {
	keys := makePKI(t)
	s := simulate(t, keys)
	report := filepath.Join(t.TempDir(), "junit.xml")
	// Its exit code says that something failed; the report says what.
	out, runErr := try(t, "..", "go", "tool", "-modfile=tools/go.mod", "h2spec", "--host", "127.0.0.1", "--port", port(s.addr),
		"--tls", "--insecure", "--strict", "--timeout", "2", "--path", "/3/device/"+activeDevice, "--junit-report", report)
	var suites struct {
		Suites []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Package string `xml:"package,attr"`
				Name    string `xml:"classname,attr"`
				Failure *struct {
					Text string `xml:",innerxml"`
				} `xml:"failure"`
				Error *struct {
					Text string `xml:",innerxml"`
				} `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(readFile(t, report), &suites); err != nil {
		t.Fatalf("%v\n%v\n%s", err, runErr, out)
	}
	cases, failed := 0, 0
	for _, suite := range suites.Suites {
		for _, c := range suite.Cases {
			cases++
			name := c.Package + ": " + c.Name
			why, expected := h2specExceptions[name]
			switch bad := c.Failure != nil || c.Error != nil; {
			case bad && !expected:
				failed++
				t.Errorf("%s (%s) failed", name, suite.Name)
			case bad:
				failed++
				t.Logf("%s: expected to fail, because %s", name, why)
			case expected:
				t.Errorf("%s passes now; take it out of h2specExceptions", name)
			}
		}
	}
	if cases != h2specCases {
		t.Errorf("%d cases, expected %d", cases, h2specCases)
	}
	if runErr != nil && failed == 0 {
		t.Error(runErr)
	}
	if t.Failed() {
		t.Log(out)
	}
	t.Logf("%d cases, %d failed", cases, failed)
}
