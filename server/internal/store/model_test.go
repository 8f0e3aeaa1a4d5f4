package store

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
)

// TestRolloutModel holds the life of affectations to a plain map, whatever happens in whatever order, and
// the statistics to a count of that map.
func TestRolloutModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := fixture{t, newStore(t)}
		devices := []core.DeviceID{f.computer("a"), f.computer("b"), f.computer("c")}
		id := f.pkg(5)
		f.activate(id, "")
		model := map[core.DeviceID]outcome.Record{}
		history, forced := map[core.DeviceID]bool{}, map[core.DeviceID]bool{}
		pick := func(r *rapid.T) core.DeviceID { return rapid.SampledFrom(devices).Draw(r, "device") }
		r.Repeat(map[string]func(*rapid.T){
			"affect": func(r *rapid.T) {
				device, force := pick(r), rapid.Bool().Draw(r, "force")
				_, has := model[device]
				report := f.affect(id, Selection{Devices: []core.DeviceID{device}}, AffectOptions{Force: force})
				if done := !has || force; done != (report.Done == 1) {
					r.Fatalf("affect: done %d, want %v", report.Done, done)
				} else if done {
					model[device], forced[device] = outcome.Record{State: outcome.Waiting}, force
				}
			},
			"unaffect": func(r *rapid.T) {
				device := pick(r)
				_, err := f.Unaffect(f.ctx(), Target{Package: id}, Selection{Devices: []core.DeviceID{device}},
					AffectOptions{}, now)
				f.check(err)
				if record, has := model[device]; has && !record.State.Final() {
					delete(model, device)
				}
			},
			"contact": func(r *rapid.T) {
				device := pick(r)
				record, has := model[device]
				open := has && !record.State.Final()
				done := history[device] && !forced[device]
				if listed := len(f.contact(device)) == 1; listed != (open && !done) {
					r.Fatalf("listed %v: %v, in history %v, forced %v", listed, record, history[device], forced[device])
				}
				if open && done {
					model[device] = outcome.Record{State: outcome.AlreadySetup, Text: outcome.AlreadyInHistory}
				} else if open {
					model[device] = outcome.Record{State: outcome.Notified}
				}
			},
			"result": func(r *rapid.T) {
				device := pick(r)
				text := rapid.SampledFrom([]string{"SUCCESS", "SUCCESS_", "SUCCESS_3", "ERR_BUILD", "SUCCESS_ALREADY_SETUP"}).
					Draw(r, "text")
				f.result(device, id, text)
				if record, has := model[device]; has {
					model[device] = outcome.Next(record, text, outcome.SuccessCodes{0})
				}
			},
			"inventory": func(r *rapid.T) {
				device := pick(r)
				f.installed(device, id)
				history[device] = true
			},
			"validate": func(r *rapid.T) {
				waiting, clear := rapid.Bool().Draw(r, "waiting"), rapid.Bool().Draw(r, "clear")
				var err error
				switch {
				case waiting && clear:
					_, err = f.ValidateAll(f.ctx(), id)
				case waiting:
					_, err = f.UnaffectNotNotified(f.ctx(), id)
				default:
					_, err = f.ValidateSuccess(f.ctx(), id)
				}
				f.check(err)
				for device, record := range model {
					if waiting && record.State == outcome.Waiting || waiting && clear && record.State.Final() ||
						!waiting && record.State.Succeeded() {
						delete(model, device)
					}
				}
			},
			"": func(r *rapid.T) {
				rollout, err := f.Rollout(f.ctx(), id, now)
				f.check(err)
				want := map[outcome.State]int{}
				for device, record := range model {
					want[record.State]++
					if got := f.record(device, id); got != record {
						r.Fatalf("%s: got %v, want %v", device, got, record)
					}
				}
				sum := 0
				for _, state := range outcome.States() {
					sum += rollout.States[state]
					if rollout.States[state] != want[state] {
						r.Fatalf("%s: got %d, want %d", state, rollout.States[state], want[state])
					}
				}
				if rollout.Computers != sum || len(rollout.States) != len(outcome.States()) {
					r.Fatalf("%d computers, states add up to %d", rollout.Computers, sum)
				}
			},
		})
	})
}

// killedWriter is the variable that makes this test binary the process that is killed.
const killedWriter = "ENJAMBRE_TEST_KILLED_WRITER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(killedWriter); folder != "" {
		writeUntilKilled(folder)
	}
	flag.Parse()
	if checks := flag.Lookup("rapid.checks").Value; checks.String() == "100" { // the default
		if err := checks.Set("30"); err != nil { // each step is several transactions on a real disk
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// writeUntilKilled does what agents make a server do, and says on stdout what it would have acknowledged.
func writeUntilKilled(folder string) {
	s, err := Open(context.Background(), folder)
	for i := 0; err == nil; i++ {
		name := fmt.Sprint("pc", os.Getpid(), "-", i)
		facts := Facts{Computer: Computer{Device: device(name), Name: name, Family: core.Linux},
			Programs: []Program{{"bash", fmt.Sprint(i)}, {"dash", "1"}}}
		if _, err = s.SaveInventory(context.Background(), facts, "", now); err == nil {
			fmt.Println("inventory", device(name))
			err = s.SaveResult(context.Background(), Stock(device(name)), ocs.Result{Package: 7, Text: "SUCCESS"}, now)
		}
		if err == nil {
			fmt.Println("result", device(name))
		}
	}
	fmt.Println("error", err)
	os.Exit(1)
}

// TestKilled: what was acknowledged before a kill, at any moment, is there afterwards, whole, and the database
// is sound.
func TestKilled(t *testing.T) {
	folder := t.TempDir()
	if err := Create(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	for round := range 6 {
		writer := exec.Command(os.Args[0])
		writer.Env = append(os.Environ(), killedWriter+"="+folder)
		stdout, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		delay := rand.N(120 * time.Millisecond) // after its first word
		var acknowledged []string
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if acknowledged = append(acknowledged, lines.Text()); len(acknowledged) == 1 {
				time.AfterFunc(delay, func() { _ = writer.Process.Kill() })
			}
		}
		_ = writer.Wait() // killed, as meant
		if len(acknowledged) == 0 || strings.HasPrefix(acknowledged[len(acknowledged)-1], "error") {
			t.Fatalf("the writer gave up: %q", acknowledged)
		}
		f := fixture{t, reopened(t, folder)}
		f.check(f.Check(f.ctx()))
		for _, line := range acknowledged {
			what, name, _ := strings.Cut(line, " ")
			view, err := f.Computer(f.ctx(), core.DeviceID(name))
			if err != nil || len(view.Programs) != 2 || what == "result" && len(view.Results) == 0 {
				t.Errorf("round %d: acknowledged %q, found %v, %v", round, line, view, err)
			}
		}
		f.wantWhole()
		t.Logf("round %d, killed after %v: %d acknowledged writes", round, delay, len(acknowledged))
	}
}

// wantWhole fails unless every computer that the killed writer began has all that came with it, acknowledged
// or not, and nothing is left of one that it did not.
func (f fixture) wantWhole() {
	f.Helper()
	computers, err := f.Search(f.ctx(), Selection{All: true}, now)
	f.check(err)
	for _, computer := range computers {
		view, err := f.Computer(f.ctx(), computer.Device)
		f.check(err)
		if computer.Name == "" || computer.Inventoried.IsZero() || len(view.Programs) != 2 {
			f.Errorf("half a row: %+v", view)
		}
	}
	for _, text := range []string{"SELECT count(*) FROM pragma_foreign_key_check",
		"SELECT count(*) FROM programs WHERE id NOT IN (SELECT program FROM installed)"} {
		var stray int
		f.check(f.read.QueryRow(text).Scan(&stray))
		f.want(text, stray, 0)
	}
}
