package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// bulk serves the actions on many rows. Each is all or nothing, as its transaction is.
func (a *api) bulk(w *answer, q *request, t *table, action string) *apiError {
	one := map[string]func(*table, *payload) (uuid.UUID, *apiError){
		"CreateMultiple": a.createTarget,
		"UpdateMultiple": a.updateTarget,
		"UpsertMultiple": a.upsertTarget,
	}[action]
	switch {
	case action == "DeleteMultiple": // of elastic tables only
		return &apiError{http.StatusNotImplemented, "0x80040265", "DeleteMultiple has not yet been implemented."}
	case one == nil:
		return notKnown("the action or function %q", action)
	case q.Method != http.MethodPost:
		return badMethod(q.Method)
	}
	if failure := q.only(); failure != nil {
		return failure
	}
	targets, failure := readTargets(t, q.body)
	if failure != nil {
		return failure
	}
	a.targets(len(targets))
	ids := make([]uuid.UUID, len(targets))
	for i, object := range targets {
		p, failure := t.payload(object)
		if failure == nil && p.odataType == "" {
			failure = badPayload(t.LogicalName, "Each target needs '@odata.type': '%scrmbaseentity' is abstract.", castPrefix)
		}
		if failure == nil {
			ids[i], failure = one(t, p)
		}
		if failure != nil {
			return failure
		}
	}
	if action != "CreateMultiple" {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	encoded, _ := json.Marshal(ids) // strings always can
	writeData(w, http.StatusOK, fmt.Appendf(nil,
		`{"@odata.context":"%s$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse","Ids":%s}`, q.base, encoded))
	return nil
}

// readTargets reads {"Targets":[…]}.
func readTargets(t *table, body []byte) ([]map[string]any, *apiError) {
	call, failure := readObject(t.LogicalName, body)
	if failure != nil {
		return nil, failure
	}
	list, _ := call["Targets"].([]any)
	targets := make([]map[string]any, len(list))
	for i, element := range list {
		targets[i], _ = element.(map[string]any)
		if targets[i] == nil {
			return nil, badPayload(t.LogicalName, "The element %d of 'Targets' is no object.", i)
		}
	}
	if len(targets) == 0 || len(call) != 1 {
		return nil, badPayload(t.LogicalName, "The body must be {\"Targets\":[…]}, with a target.")
	}
	return targets, nil
}

func (a *api) createTarget(t *table, p *payload) (uuid.UUID, *apiError) {
	if p.id == uuid.Nil {
		p.id = uuid.New()
	}
	_, failure := a.data.insert(t, p.id, p.assigned)
	return p.id, failure
}

func (a *api) updateTarget(t *table, p *payload) (uuid.UUID, *apiError) {
	to, failure := t.payloadTarget(p)
	switch {
	case failure != nil:
		return uuid.Nil, failure
	case to.key == nil && to.id == uuid.Nil:
		return uuid.Nil, badPayload(t.LogicalName, "Entity Id must be specified for Update.")
	case to.row == nil:
		return uuid.Nil, t.missing(to)
	}
	_, failure = a.data.update(t, to.row, p.withoutKey(to))
	return to.row.id, failure
}

func (a *api) upsertTarget(t *table, p *payload) (uuid.UUID, *apiError) {
	to, failure := t.payloadTarget(p)
	switch {
	case failure != nil:
		return uuid.Nil, failure
	case to.key == nil && to.id == uuid.Nil:
		return a.createTarget(t, p)
	case to.row != nil:
		_, failure = a.data.update(t, to.row, p.withoutKey(to))
		return to.row.id, failure
	}
	for _, assigned := range p.assigned {
		if to.has(assigned.column) { // the trap: the same payload does update a row
			return uuid.Nil, unexpected(http.StatusBadRequest)
		}
	}
	r, failure := a.data.insertAt(t, to, p)
	if failure != nil {
		return uuid.Nil, failure
	}
	return r.id, nil
}

// payloadTarget finds the row that a target of a bulk action names: by @odata.id, or by the primary id.
func (t *table) payloadTarget(p *payload) (target, *apiError) {
	if p.odataID == "" {
		return target{row: t.row(p.id), id: p.id}, nil
	}
	path := p.odataID
	if at := strings.LastIndex(path, "/"+t.EntitySet+"("); at >= 0 {
		path = path[at+1:]
	}
	args, ok := strings.CutPrefix(path, t.EntitySet+"(")
	if args, closed := strings.CutSuffix(args, ")"); ok && closed {
		return t.target(args)
	}
	return target{}, badPayload(t.LogicalName, "The '@odata.id' '%s' is not an address in '%s'.", p.odataID, t.EntitySet)
}
