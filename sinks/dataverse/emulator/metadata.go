package emulator

func (a *api) serveDefinitions(w *answer, q *request) *apiError { return notKnown("%q", q.URL.Path) }
