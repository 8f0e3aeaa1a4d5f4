package outcome

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"enjambre/core"
)

// TestJudge has every text of the protocol that an agent or a stock server can leave behind.
func TestJudge(t *testing.T) {
	unix, windows := DefaultSuccessCodes(core.Linux), DefaultSuccessCodes(core.Windows)
	cases := []struct {
		text  string
		codes SuccessCodes
		want  State
	}{
		{"SUCCESS", unix, Success},
		{"SUCCESS_0", unix, Success},
		{"SUCCESS_3", unix, Execute},
		{"SUCCESS_3", SuccessCodes{0, 3}, Success},
		{"SUCCESS_0", SuccessCodes{3}, Execute},
		{"SUCCESS_", unix, Success},
		{"SUCCESS_ALREADY_SETUP", unix, AlreadySetup},
		{"SUCCESS_ALREADY_IN_HISTORY", unix, AlreadySetup},
		{"ERR_ALREADY_SETUP", unix, AlreadySetup},
		{"SUCCESS_REBOOT_INITIATED", windows, Success},
		{"SUCCESS_REBOOT_REQUIRED", windows, Success},
		{"SUCCESS_RESTART_REQUIRED", windows, Success},
		{"SUCCESS_REBOOT_REQUIRED", SuccessCodes{0}, Execute},
		{"SUCCESS_WITH_A_TEXT_TO_COME", unix, Success},
		{"EXIT_CODE_5", windows, Execute},
		{"EXIT_CODE_3010", windows, Success},
		{"EXIT_CODE_-2147024894", SuccessCodes{2147942402}, Success},
		{"EXIT_CODE_259", windows, Execute},
		{"CODE_1603", windows, Execute},
		{"CODE1603", SuccessCodes{1603}, Success},
		{"ERR_DOWNLOAD_INFO", unix, BadID},
		{"ERR_BAD_ID", unix, BadID},
		{"ERR_BAD_DIGEST", unix, BadDigest},
		{"ERR_BUILD", unix, Build},
		{"ERR_UNZIP", windows, DownloadPack},
		{"ERR_OUT_OF_SPACE", windows, Build},
		{"ERR_EXECUTE", unix, Execute},
		{"ERR_EXECUTE_NO_EXIT_CODE", windows, Execute},
		{"ERR_EXECUTE_TIMEOUT", windows, Execute},
		{"ERR_EXECUTE_TOO_MANY_TRY", windows, Execute},
		{"ERR_TIMEOUT", unix, Timeout},
		{"ERR_ABORTED", windows, Aborted},
		{"ERR_BAD_PARAM", windows, Execute},
		{"ERR_DONE_FAILED", windows, Execute},
		{"ERR_CLEAN", unix, Clean},
		{"ERR_DOWNLOAD_PACK", unix, DownloadPack},
		{"ERR_EXECUTE_PACK", unix, ExecutePack},
		{"UNKNOWN_CODE", unix, Execute},
		{"NOTIFIED", unix, Execute}, // not a result
		{"", unix, Execute},
		{"ERR_OF_THE_FUTURE", unix, Execute},
	}
	for _, c := range cases {
		if got := Judge(c.text, c.codes); got != c.want {
			t.Errorf("%q with codes %v: got %s, want %s", c.text, c.codes, got, c.want)
		}
	}
}

func TestNext(t *testing.T) {
	codes := SuccessCodes{0}
	cases := []struct {
		name string
		from Record
		text string
		want Record
	}{
		{"first result", Record{State: Notified}, "SUCCESS_0", Record{Success, "SUCCESS_0"}},
		{"never notified", Record{State: Waiting}, "ERR_EXECUTE", Record{Execute, "ERR_EXECUTE"}},
		{"repeated without its code", Record{Success, "SUCCESS_0"}, "SUCCESS_", Record{Success, "SUCCESS_0"}},
		{
			"already set up after success",
			Record{Success, "SUCCESS"},
			"SUCCESS_ALREADY_SETUP",
			Record{Success, "SUCCESS"},
		},
		{
			"the agent's word after our conclusion",
			Record{AlreadySetup, AlreadyInHistory},
			"SUCCESS_0",
			Record{Success, "SUCCESS_0"},
		},
		{"stray error after success", Record{Success, "SUCCESS"}, "ERR_TIMEOUT", Record{Success, "SUCCESS"}},
		{"success after error", Record{BadDigest, "ERR_BAD_DIGEST"}, "SUCCESS", Record{Success, "SUCCESS"}},
		{"error after error", Record{Build, "ERR_BUILD"}, "ERR_TIMEOUT", Record{Timeout, "ERR_TIMEOUT"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := Next(c.from, c.text, codes); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestNextLaws: a result always ends an affectation, a success stays, and repeating a result changes
// nothing, so that an agent may send it as often as it likes.
func TestNextLaws(t *testing.T) {
	texts := rapid.SampledFrom(
		[]string{"SUCCESS", "SUCCESS_", "SUCCESS_0", "SUCCESS_5", "ERR_BUILD", "EXIT_CODE_1", "x"})
	rapid.Check(t, func(t *rapid.T) {
		record := Record{State: rapid.SampledFrom([]State{Waiting, Notified}).Draw(t, "start")}
		for _, text := range rapid.SliceOfN(texts, 1, 10).Draw(t, "texts") {
			next := Next(record, text, SuccessCodes{0})
			switch {
			case !next.State.Final():
				t.Fatalf("%v + %s is not final: %v", record, text, next)
			case record.State.Succeeded() && next != record:
				t.Fatalf("success %v was replaced by %v", record, next)
			case Next(next, text, SuccessCodes{0}) != next:
				t.Fatalf("repeating %s changes %v", text, next)
			}
			record = next
		}
	})
}

func TestStates(t *testing.T) {
	for _, state := range States() {
		groups := 0
		for _, in := range []bool{!state.Final(), state.Succeeded(), state.Failed()} {
			if in {
				groups++
			}
		}
		if groups != 1 {
			t.Errorf("%s is in %d groups", state, groups)
		}
	}
}

func TestParseSuccessCodes(t *testing.T) {
	codes, err := ParseSuccessCodes("3010, 0,0,-5")
	if err != nil || codes.String() != "-5,0,3010" {
		t.Errorf("got %v, %v", codes, err)
	}
	if again, err := ParseSuccessCodes(codes.String()); err != nil || !slices.Equal(again, codes) {
		t.Errorf("round trip: %v, %v", again, err)
	}
	for _, text := range []string{"", "a", "0,", "1.5", "4294967296", "0;1"} {
		if _, err := ParseSuccessCodes(text); core.ClassOf(err) != core.ClassField {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func FuzzSuccessCodes(f *testing.F) {
	f.Add("0,3010")
	f.Add("-1")
	f.Fuzz(func(t *testing.T, text string) {
		codes, err := ParseSuccessCodes(text)
		if err != nil {
			return
		}
		if again, err := ParseSuccessCodes(codes.String()); err != nil || !slices.Equal(again, codes) {
			t.Fatalf("%q: %v, then %v, %v", text, codes, again, err)
		}
	})
}

func FuzzJudge(f *testing.F) {
	f.Add("SUCCESS_3")
	f.Add("EXIT_CODE_-5")
	f.Fuzz(func(t *testing.T, text string) {
		if state := Judge(text, SuccessCodes{0}); !state.Final() || !slices.Contains(States(), state) {
			t.Fatalf("%q: %q is no final state", text, state)
		}
	})
}
