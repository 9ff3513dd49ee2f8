package emulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// tableBody is a table with a title.
func tableBody(schemaName string, more ...string) string {
	title := `"SchemaName":"new_Title","IsPrimaryName":true,"MaxLength":50,"FormatName":{"Value":"Text"},` +
		`"RequiredLevel":{"Value":"None"},` + label("DisplayName", "Title")
	columns := append([]string{columnBody("String", title)}, more...)
	return `{"@odata.type":"Microsoft.Dynamics.CRM.EntityMetadata","SchemaName":"` + schemaName + `",` +
		label("DisplayName", "One") + `,` + label("DisplayCollectionName", "Many") + `,` +
		`"OwnershipType":"UserOwned","IsActivity":false,"HasActivities":false,"HasNotes":false,` +
		`"Attributes":[` + strings.Join(columns, ",") + `]}`
}

func columnBody(kind, properties string) string {
	return `{"@odata.type":"Microsoft.Dynamics.CRM.` + kind + `AttributeMetadata",` + properties + `}`
}

// label is a property that is a Label.
func label(name, text string) string {
	return `"` + name + `":{"@odata.type":"Microsoft.Dynamics.CRM.Label","LocalizedLabels":[{"@odata.type":` +
		`"Microsoft.Dynamics.CRM.LocalizedLabel","Label":"` + text + `","LanguageCode":1033}]}`
}

// labelText is the text of a Label.
func labelText(v any) any {
	return v.(map[string]any)["UserLocalizedLabel"].(map[string]any)["Label"]
}

func TestTheCampaignMetricsTableIsDescribed(t *testing.T) {
	o := start(t, Config{})
	got := o.get(definitionPath)
	for name, want := range map[string]any{
		"SchemaName": "apex_CampaignMetric", "LogicalName": "apex_campaignmetric", "EntitySetName": campaigns,
		"PrimaryIdAttribute": "apex_campaignmetricid", "PrimaryNameAttribute": "apex_name", "TableType": "Standard",
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if labelText(got["DisplayName"]) != "Campaign Metric" || labelText(got["DisplayCollectionName"]) != "Campaign Metrics" {
		t.Errorf("labels of %v", got)
	}
	byID := o.get(fmt.Sprintf("EntityDefinitions(%s)?$select=LogicalName", got["MetadataId"]))
	if byID["LogicalName"] != "apex_campaignmetric" || len(byID) != 3 || byID["@odata.context"] != o.url+"$metadata#EntityDefinitions/$entity" {
		t.Errorf("selected %v", byID)
	}
}

func TestTheColumnsOfCampaignMetricsAreDescribedWithTheirLimits(t *testing.T) {
	o := start(t, Config{})
	columns, _ := o.page(definitionPath + "/Attributes")
	var described []string
	for _, c := range columns {
		if c["IsCustomAttribute"] != true {
			continue
		}
		text := fmt.Sprintf("%v %v", c["LogicalName"], strings.TrimPrefix(c["@odata.type"].(string), "#Microsoft.Dynamics.CRM."))
		for _, name := range []string{"MaxLength", "MinValue", "MaxValue", "Precision", "Format"} {
			if v, given := c[name]; given {
				text += fmt.Sprintf(" %v", v)
			}
		}
		if behavior, given := c["DateTimeBehavior"]; given {
			text += fmt.Sprint(" ", behavior.(map[string]any)["Value"])
		}
		described = append(described, text)
	}
	want := []string{
		"apex_name StringAttributeMetadata 200 Text", "apex_campaignid StringAttributeMetadata 64 Text",
		"apex_runid StringAttributeMetadata 64 Text", "apex_phase StringAttributeMetadata 16 Text",
	}
	for _, name := range []string{"agentstotal", "agentssuccessful", "assetsgenerated", "latencyp95ms", "latencyavgms", "tokensin", "tokensout"} {
		want = append(want, "apex_"+name+" IntegerAttributeMetadata 0 2147483647 None")
	}
	want = append(want, "apex_costusd DecimalAttributeMetadata 0 99999.99999 5", "apex_successrate DecimalAttributeMetadata 0 100 2",
		"apex_createdat DateTimeAttributeMetadata DateAndTime TimeZoneIndependent")
	if !slices.Equal(described, want) {
		t.Errorf("columns\n%s\nwant\n%s", strings.Join(described, "\n"), strings.Join(want, "\n"))
	}
}

func TestDefinitionsAreFoundSelectedAndExpanded(t *testing.T) {
	o := start(t, Config{})
	o.makeKey("apex_RunKey", runKey)
	tables, _ := o.page("EntityDefinitions?%24select=LogicalName%2CEntitySetName&%24filter=LogicalName+eq+%27apex_campaignmetric%27")
	if valuesOf(tables, "EntitySetName") != campaigns || len(tables[0]) != 3 {
		t.Errorf("tables %v", tables)
	}
	if none, _ := o.page("EntityDefinitions?$filter=LogicalName+eq+'none'+or+IsActivity+eq+true"); len(none) != 0 {
		t.Errorf("tables %v", none)
	}
	got := o.get(definitionPath + "?$select=LogicalName&$expand=Attributes($select=LogicalName,AttributeType),Keys")
	if len(got["Attributes"].([]any)) != 18 || len(got["Keys"].([]any)) != 1 {
		t.Errorf("expanded %v", got)
	}
	decimals, _ := o.page(definitionPath + "/Attributes/Microsoft.Dynamics.CRM.DecimalAttributeMetadata?$select=LogicalName,Precision")
	if valuesOf(decimals, "LogicalName") != "apex_costusd apex_successrate" || valuesOf(decimals, "Precision") != "5 2" {
		t.Errorf("decimals %v", decimals)
	}
	picklists, _ := o.page(definitionPath + "/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata" +
		"?$select=LogicalName&$expand=OptionSet($select=Options)")
	if len(picklists) != 0 {
		t.Errorf("picklists %v", picklists)
	}
	one := o.get(definitionPath + "/Attributes(LogicalName='apex_phase')/Microsoft.Dynamics.CRM.StringAttributeMetadata?$select=MaxLength")
	if one["MaxLength"] != number("16") {
		t.Errorf("column %v", one)
	}
	primary, _ := o.page(definitionPath + "/Attributes?$select=LogicalName&$filter=IsPrimaryName+eq+true")
	if valuesOf(primary, "LogicalName") != "apex_name" {
		t.Errorf("primary name %v", primary)
	}
}

func TestAQueryOfDefinitionsThatIsWrongIsRefused(t *testing.T) {
	o := start(t, Config{})
	for _, path := range []string{"EntityDefinitions(LogicalName='none')", "EntityDefinitions(" + rowID(1) + ")",
		definitionPath + "/Attributes(LogicalName='none')", definitionPath + "/Keys(LogicalName='none')"} {
		o.refuse(http.StatusNotFound, "0x80060888", http.MethodGet, path, "")
	}
	o.refuse(http.StatusBadRequest, "0x80060888", http.MethodGet, definitionPath+"/Attributes?$select=MaxLength", "") // needs a cast
	for name, path := range map[string]string{
		"LogicalNames":      "EntityDefinitions?$select=LogicalNames",
		"Privileges":        definitionPath + "?$expand=Privileges",
		"$filter=":          definitionPath + "?$expand=Attributes($filter=IsPrimaryName+eq+true)",
		"$top":              "EntityDefinitions?$top=1",
		"DisplayName":       "EntityDefinitions?$filter=DisplayName+eq+'a'",
		"AttributeTypeCode": definitionPath + "/Attributes?$filter=AttributeType+eq+Microsoft.Dynamics.CRM.AttributeTypeCode'String'",
		"OneToMany":         definitionPath + "/OneToManyRelationships",
		"SchemaName":        "EntityDefinitions(SchemaName='apex_CampaignMetric')",
	} {
		o.unknown(name, http.MethodGet, path, "")
	}
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete} {
		o.unknown(method, method, definitionPath, "{}")
	}
}

func TestATableThatWasMadeHoldsRows(t *testing.T) {
	o := start(t, Config{})
	r := o.mustDo(http.StatusNoContent, http.MethodPost, "EntityDefinitions", tableBody("new_Agency",
		columnBody("Integer", `"SchemaName":"new_Number","MinValue":-5,"MaxValue":5,"Format":"None"`),
		columnBody("Decimal", `"SchemaName":"new_Decimal","MinValue":-100000000000.0,"MaxValue":100000000000.0,"Precision":10`),
		columnBody("Double", `"SchemaName":"new_Double","Precision":5`),
		columnBody("Memo", `"SchemaName":"new_Memo","MaxLength":3,"Format":"TextArea"`),
		columnBody("DateTime", `"SchemaName":"new_Day","Format":"DateOnly","DateTimeBehavior":{"Value":"DateOnly"}`)),
		"MSCRM.SolutionUniqueName", "Some")
	table := o.get(r.header.Get("OData-EntityId"))
	if table["EntitySetName"] != "new_agencies" || table["PrimaryNameAttribute"] != "new_title" || labelText(table["DisplayName"]) != "One" {
		t.Fatalf("table %v", table)
	}
	o.patch("new_agencies("+rowID(1)+")",
		`{"new_title":"t","new_number":-5,"new_decimal":-12345678901.0123456789,"new_double":47.639583,"new_memo":"abc",`+
			`"new_day":"2026-02-28"}`)
	got := o.Rows("new_agencies")[0]
	for name, want := range map[string]any{"new_number": number("-5"), "new_decimal": number("-12345678901.0123456789"),
		"new_double": number("47.63958"), "new_day": "2026-02-28", "new_agencyid": rowID(1)} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	for body, code := range map[string]string{
		`{"new_number":6}`: "0x8004432f", `{"new_decimal":100000000001}`: "0x80044330", `{"new_memo":"abcd"}`: "0x80044331",
		`{"new_day":"2026-02-28T00:00:00Z"}`: "0x80048d19", `{"new_day":"2026-02-29"}`: "0x80048d19",
	} {
		o.refuse(http.StatusBadRequest, code, http.MethodPost, "new_agencies", body)
	}
}

func TestAColumnThatWasAddedIsNullInTheRowsThatAreThere(t *testing.T) {
	o := start(t, Config{})
	o.fill(2)
	r := o.mustDo(http.StatusNoContent, http.MethodPost, definitionPath+"/Attributes", columnBody("Integer", `"SchemaName":"apex_More"`))
	added := o.get(r.header.Get("OData-EntityId"))
	if added["LogicalName"] != "apex_more" || added["MinValue"] != number("-2147483648") {
		t.Errorf("column %v", added)
	}
	o.patch(rowAt(1), `{"apex_more":7}`)
	rows, _ := o.page(campaigns + "?$select=apex_more,apex_agentstotal&$orderby=apex_more")
	if valuesOf(rows, "apex_more") != "<nil> 7" || valuesOf(rows, "apex_agentstotal") != "0 1" {
		t.Errorf("rows %v", rows)
	}
}

func TestADefinitionThatIsWrongIsRefused(t *testing.T) {
	o := start(t, Config{})
	table := "EntityDefinitions"
	columns := definitionPath + "/Attributes"
	for _, c := range []struct{ code, path, body string }{
		{"0x80044363", table, tableBody("apex_CampaignMetric")},
		{"0x80040203", table, tableBody("NoPrefix")},
		{"0x80040203", table, strings.Replace(tableBody("new_A"), "UserOwned", "Nobody", 1)},
		{"0x80040203", table, strings.Replace(tableBody("new_A"), `"IsPrimaryName":true,`, "", 1)},
		{"0x80040203", table, tableBody("new_A", columnBody("String", `"SchemaName":"new_B","IsPrimaryName":true`))},
		{"0x80047013", table, tableBody("new_A", columnBody("String", `"SchemaName":"new_title"`))},
		{"0x80048d19", table, `{`},
		{"0x80047013", columns, columnBody("String", `"SchemaName":"apex_Phase"`)},
		{"0x80040203", columns, columnBody("String", `"SchemaName":"apex_A","IsPrimaryName":true`)},
		{"0x80040203", columns, columnBody("String", `"SchemaName":"apex_A","MaxLength":4001`)},
		{"0x80040203", columns, columnBody("String", `"SchemaName":"apex_A","MaxLength":"5"`)},
		{"0x80040203", columns, columnBody("Integer", `"SchemaName":"apex_A","MaxValue":2147483648`)},
		{"0x80040203", columns, columnBody("Integer", `"SchemaName":"apex_A","MinValue":0.5`)},
		{"0x80040203", columns, columnBody("Decimal", `"SchemaName":"apex_A","Precision":11`)},
		{"0x80040203", columns, columnBody("Decimal", `"SchemaName":"apex_A","MinValue":5,"MaxValue":4`)},
		{"0x80040203", columns, columnBody("Double", `"SchemaName":"apex_A","Precision":6`)},
		{"0x80040203", columns, columnBody("DateTime", `"SchemaName":"apex_A","Format":"Time"`)},
		{"0x80040203", columns, columnBody("DateTime", `"SchemaName":"apex_A","DateTimeBehavior":{"Value":"Local"}`)},
		{"0x80040203", columns, columnBody("DateTime", `"SchemaName":"apex_A","DateTimeBehavior":{"Value":"DateOnly"}`)},
		{"0x80048d19", columns, columnBody("Integer", `"SchemaName":"apex_A","Precision":0`)}, // no property of this type
	} {
		o.refuse(http.StatusBadRequest, c.code, http.MethodPost, c.path, c.body)
	}
	for name, request := range map[string][2]string{
		"Elastic":      {table, strings.Replace(tableBody("new_A"), `"IsActivity"`, `"TableType":"Elastic","IsActivity"`, 1)},
		"HasNotes":     {table, strings.Replace(tableBody("new_A"), `"HasNotes":false`, `"HasNotes":true`, 1)},
		"EntityColor":  {table, strings.Replace(tableBody("new_A"), `"IsActivity"`, `"EntityColor":"#fff","IsActivity"`, 1)},
		"Picklist":     {columns, columnBody("Picklist", `"SchemaName":"apex_A"`)},
		"BigInt":       {columns, columnBody("BigInt", `"SchemaName":"apex_A"`)},
		"Email":        {columns, columnBody("String", `"SchemaName":"apex_A","FormatName":{"Value":"Email"}`)},
		"Duration":     {columns, columnBody("Integer", `"SchemaName":"apex_A","Format":"Duration"`)},
		"AutoNumber":   {columns, columnBody("String", `"SchemaName":"apex_A","AutoNumberFormat":"A"`)},
		"SolutionName": {columns + "?SolutionName=a", columnBody("String", `"SchemaName":"apex_A"`)},
	} {
		o.unknown(name, http.MethodPost, request[0], request[1])
	}
	if columns, _ := o.page(columns); len(columns) != 18 {
		t.Errorf("%d columns", len(columns))
	}
}
