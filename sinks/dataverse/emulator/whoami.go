package emulator

import (
	"fmt"
	"net/http"
)

// Who every client is.
var (
	userID         = metadataID("user")
	businessUnitID = metadataID("business unit")
	organizationID = metadataID("organization")
)

// whoAmI serves WhoAmI and WhoAmI().
func whoAmI(w *answer, q *request) *apiError {
	if len(q.path) > 1 || q.path[0].args != "" {
		return notKnown("%q", q.URL.Path)
	}
	if q.Method != http.MethodGet {
		return badMethod(q.Method)
	}
	writeData(w, http.StatusOK, fmt.Appendf(nil, `{"@odata.context":"%s$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",`+
		`"BusinessUnitId":"%s","UserId":"%s","OrganizationId":"%s"}`, q.base, businessUnitID, userID, organizationID))
	return nil
}
