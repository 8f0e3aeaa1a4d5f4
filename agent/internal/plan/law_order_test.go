package plan

import "enjambre/core"

// inOrder: no run or ask of the origin goes before something more urgent, as the server has said, of which the info file
// is still awaited, or is missing at priority 0.
func (w *chaos) inOrder(action Action) {
	var id core.PackageID
	switch action := action.(type) {
	case Run:
		id = action.Package
	case FetchFragment:
		id = action.Package
	case AskNext:
		id = action.Package
	default:
		return
	}
	mine := w.plan.tasks[id].priority
	for other, t := range w.plan.tasks {
		isJudged := t.download != nil || t.running || t.dropped || t.expired
		if !t.Ranked || isJudged || w.plan.conf.NeverOpens(t.Priority) {
			continue
		}
		isMoreUrgent := t.Priority < mine || t.Priority == mine && other < id
		if isMoreUrgent && (!w.tried[other] || t.Priority == 0 && mine > 0) {
			w.t.Fatalf("%T of package %v, priority %v, before package %v of priority %v is judged",
				action, id, mine, other, t.Priority)
		}
	}
}

// restart ends the agent and starts it anew with what it has on its disk.
func (w *chaos) restart() {
	resumed := Resumed{Assignments: w.plan.Assignments(), Answered: w.plan.Answered(), Origin: w.plan.Origin()}
	made, err := New(w.plan.options, w.plan.Conf(), w.results)
	if err != nil {
		w.t.Fatal(err)
	}
	w.plan, w.adopted = made, 0
	w.talks, w.infos, w.parts, w.nexts, w.acks, w.ends = nil, nil, nil, nil, nil, nil
	clear(w.tried)
	for _, assignment := range resumed.Assignments {
		if w.vault[assignment.Package] != nil {
			resumed.Stored = append(resumed.Stored, w.stored(assignment.Package))
		}
	}
	w.step(resumed)
}
