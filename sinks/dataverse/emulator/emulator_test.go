package emulator

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestARequestIsServedOnlyWithAToken(t *testing.T) {
	o := start(t, Config{})
	o.mustDo(http.StatusOK, http.MethodGet, "WhoAmI", "")
	o.token = "another"
	o.refuse(http.StatusUnauthorized, "", http.MethodGet, "WhoAmI", "")
	if stats := o.Stats(); stats.Requests != 2 || stats.Tokens != 1 {
		t.Errorf("stats %+v", stats)
	}
}

func TestWhoAmINamesTheUserTheSameEachTime(t *testing.T) {
	o := start(t, Config{})
	first := o.get("WhoAmI")
	for _, name := range []string{"BusinessUnitId", "UserId", "OrganizationId"} {
		if id, _ := first[name].(string); len(id) != 36 {
			t.Errorf("%s is %v", name, first[name])
		}
	}
	for _, path := range []string{"WhoAmI()", strings.Replace(o.url, "v9.2", "v9.0", 1) + "WhoAmI"} {
		if again := o.get(path); again["UserId"] != first["UserId"] {
			t.Errorf("%s: %v, want %v", path, again, first)
		}
	}
	o.mustDo(http.StatusMethodNotAllowed, http.MethodPost, "WhoAmI", "")
}

func TestWhatIsNotKnownSaysSo(t *testing.T) {
	o := start(t, Config{})
	o.patch(rowAt(1), `{"apex_name":"a"}`)
	for _, c := range []struct{ name, method, path, body string }{
		{"$metadata", "GET", "$metadata", ""},
		{"/api/data/v9.2/", "GET", "", ""},
		{"v8.2", "GET", strings.Replace(o.url, "v9.2", "v8.2", 1) + "WhoAmI", ""},
		{"RetrieveVersion", "GET", "RetrieveVersion()", ""},
		{"PublishXml", "POST", "PublishXml", "{}"},
		{"$ref", "PUT", rowAt(1) + "/owner/$ref", "{}"},
		{"accounts", "GET", "accounts", ""},
		{"sdkmessagefilters", "GET", "sdkmessagefilters?$select=sdkmessagefilterid", ""},
		{"Foo", "POST", rowAt(1) + "/Microsoft.Dynamics.CRM.Foo", "{}"},
		{"tables/$batch", "POST", "tables/$batch", ""},
		{"FooAttributeMetadata", "GET", definitionPath + "/Attributes/Microsoft.Dynamics.CRM.FooAttributeMetadata", ""},
		{"RelationshipDefinitions", "GET", "RelationshipDefinitions", ""},
		{"$expand", "GET", campaigns + "?$expand=ownerid", ""},
		{"$expand", "GET", rowAt(1) + "?$expand=ownerid", ""},
		{"$apply", "GET", campaigns + "?$apply=aggregate($count+as+n)", ""},
		{"fetchXml", "GET", campaigns + "?fetchXml=%3Cfetch/%3E", ""},
		{"year", "GET", campaigns + "?$filter=year(apex_createdat)+eq+2026", ""},
		{"LastXDays", "GET", campaigns + "?$filter=Microsoft.Dynamics.CRM.LastXDays(PropertyName='apex_createdat',PropertyValue=2)", ""},
		{"ownerid/name", "GET", campaigns + "?$filter=ownerid/name+eq+'a'", ""},
		{"apex_runid", "GET", campaigns + "?$filter=apex_name+eq+apex_runid", ""},
		{"@p", "GET", campaigns + "?$filter=@p+eq+1", ""},
		{"@p", "GET", campaigns + "?$filter=apex_name+eq+@p", ""},
		{"now", "GET", campaigns + "?$filter=createdon+lt+now()", ""},
		{"add", "GET", campaigns + "?$filter=apex_agentstotal+add+1+eq+2", ""},
		{"in", "GET", campaigns + "?$filter=apex_name+in+('a','b')", ""},
		{"eq", "GET", campaigns + "?$filter=contains(apex_name,'a')+eq+true", ""},
		{"eq", "GET", campaigns + "?$filter=(apex_name+eq+'a')+eq+true", ""},
		{"not", "GET", campaigns + "?$filter=not+apex_name+eq+'a'", ""},
		{"apex_runid", "GET", campaigns + "?$filter=contains(apex_name,apex_runid)", ""},
		{"tolower", "GET", campaigns + "?$filter=contains(tolower(apex_name),'a')", ""},
		{"apex_name", "GET", campaigns + "?$filter=Microsoft.Dynamics.CRM.In(PropertyName=apex_name,PropertyValues=['a'])", ""},
		{`"a"`, "GET", campaigns + `?$filter=Microsoft.Dynamics.CRM.In(PropertyName='apex_name',PropertyValues=["a"])`, ""},
		{"*", "GET", campaigns + "?$select=*", ""},
		{"Merge", "POST", campaigns + "/Microsoft.Dynamics.CRM.Merge", "{}"},
		{"lookup", "POST", campaigns, `{"ownerid@odata.bind":"/systemusers(1)"}`},
	} {
		o.unknown(c.name, c.method, c.path, c.body)
	}
}

func TestWhatDoesNotExistIsNotFound(t *testing.T) {
	o := start(t, Config{})
	o.refuse(http.StatusNotFound, "0x8006088a", "GET", "new_accounts", "")
	o.refuse(http.StatusNotFound, "0x8006088a", "GET", "apex_campaignmetric", "") // the logical name is no entity set
	o.refuse(http.StatusNotFound, "0x8006088a", "GET", rowAt(1)+"/apex_nothing", "")
	o.refuse(http.StatusMethodNotAllowed, "0x0", "PATCH", campaigns, "{}")
	o.mustDo(http.StatusRequestURITooLong, "GET", campaigns+"?$filter=apex_name+eq+'"+strings.Repeat("a", maxURL)+"'", "")
	o.refuse(http.StatusMethodNotAllowed, "0x0", "POST", rowAt(1), "{}")
	empty := start(t, Config{Empty: true})
	empty.refuse(http.StatusNotFound, "0x8006088a", "GET", campaigns, "")
	if rows := empty.Rows(campaigns); rows != nil {
		t.Errorf("rows %v", rows)
	}
}

func TestTargetsCountRowsThatWereAskedToBeWritten(t *testing.T) {
	o := start(t, Config{})
	o.mustDo(http.StatusNoContent, "POST", campaigns, `{"apex_name":"a"}`)
	o.patch(rowAt(1), `{}`)
	o.mustDo(http.StatusBadRequest, "PATCH", rowAt(1), `{"apex_nothing":1}`)
	o.mustDo(http.StatusNoContent, "DELETE", rowAt(1), "")
	o.mustDo(http.StatusBadRequest, "POST", bulkOf("UpsertMultiple"), `{"Targets":[`+target1(`"apex_name":"x"`)+`,{}]}`)
	o.mustDo(http.StatusOK, "GET", campaigns, "")
	if n := o.Stats().Targets; n != 6 {
		t.Errorf("%d targets, want 6", n)
	}
}

func TestRequestsTakeAtLeastTheLatency(t *testing.T) {
	o := start(t, Config{Latency: time.Millisecond})
	o.mustDo(http.StatusOK, http.MethodGet, "WhoAmI", "")
}

func TestAFaultThatMakesNoSenseIsTheProgrammersMistake(t *testing.T) {
	o := start(t, Config{})
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	o.Inject(Fault{Kind: "rain"})
}

func TestRowsAreDeletedByTheControlEndpoint(t *testing.T) {
	o := start(t, Config{})
	o.patch(rowAt(1), `{}`)
	o.mustDo(http.StatusNoContent, http.MethodDelete, strings.Replace(o.url, "/api/data/v9.2/", "/emulator/rows", 1), "")
	if rows := o.Rows(campaigns); len(rows) != 0 || rows == nil {
		t.Errorf("rows %v", rows)
	}
}
