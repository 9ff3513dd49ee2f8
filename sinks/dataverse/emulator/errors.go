package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/google/uuid"
)

// apiError is an answer that says no: an HTTP status with Dataverse's code in hex and its message.
type apiError struct {
	Status  int
	Code    string // 0x…, or empty where real organisations send none
	Message string
}

// Error is the message.
func (e *apiError) Error() string { return e.Message }

// write sends the error in the shape of the Web API. Headers that are set before stay.
func (e *apiError) write(w http.ResponseWriter) {
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message = e.Code, e.Message
	if w.Header().Get("REQ_ID") == "" {
		identify(w.Header())
	}
	w.Header().Set("Content-Type", "application/json; odata.metadata=minimal")
	w.Header().Set("OData-Version", "4.0")
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone if this fails
}

// identify gives an answer the id by which a client can ask about its request.
func identify(h http.Header) {
	id := uuid.NewString()
	h.Set("REQ_ID", id)
	h.Set("x-ms-service-request-id", id)
}

// notKnown is the answer to what this emulator does not do. It names it rather than guess what the service would say.
func notKnown(format string, args ...any) *apiError {
	return &apiError{http.StatusNotImplemented, "", "The emulator does not know " + fmt.Sprintf(format, args...) + "."}
}

// badRequest refuses a request for what is in it.
func badRequest(code, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// badQuery refuses a URL.
func badQuery(format string, args ...any) *apiError { return badRequest("0x80060888", format, args...) }

// badSyntax refuses a URL that cannot be taken apart.
func badSyntax() *apiError { return badQuery("Bad Request - Error in query syntax.") }

// badPayload refuses a body about a table or a definition for its form.
func badPayload(of, format string, args ...any) *apiError {
	return payloadError(of, "Microsoft.OData.ODataException: "+fmt.Sprintf(format, args...))
}

// badProperty refuses a body for a property that its type does not have.
func badProperty(of, name, odataType string) *apiError {
	return payloadError(of, fmt.Sprintf("Microsoft.Crm.CrmException: Invalid property '%s' was found in entity '%s'. --->"+
		" Microsoft.OData.ODataException: The property '%s' does not exist on type '%s'. Make sure to only use property names"+
		" that are defined by the type.", name, odataType, name, odataType))
}

func payloadError(of, exception string) *apiError {
	return badRequest("0x80048d19", "Error identified in Payload provided by the user for Entity :'%s', For more information on"+
		" this error please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293  ---->  InnerException : %s",
		of, exception)
}

// badMethod refuses a method that the resource does not have.
func badMethod(method string) *apiError {
	return &apiError{http.StatusMethodNotAllowed, "0x0",
		fmt.Sprintf("The requested resource does not support http method '%s'.", method)}
}

// tooLarge refuses a body for its length.
func tooLarge() *apiError {
	return &apiError{http.StatusRequestEntityTooLarge, "0x0", "The request is too large."}
}

// noSegment says that a part of the path names nothing.
func noSegment(name string) *apiError {
	return &apiError{http.StatusNotFound, "0x8006088a", fmt.Sprintf("Resource not found for the segment '%s'.", name)}
}

// unexpected is the error by which the service says that it does not know either.
func unexpected(status int) *apiError {
	return &apiError{status, "0x80040216", "An unexpected error occurred."}
}
