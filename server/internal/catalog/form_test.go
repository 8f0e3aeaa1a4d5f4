package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/info"
)

// valid is a form without mistakes, with an archive of one byte.
func valid(t testing.TB) Form {
	t.Helper()
	return Form{Name: "a", OS: "linux", Action: "LAUNCH", Priority: "5", File: write(t, "p.tar.gz", []byte("x")),
		Command: "run.sh"}
}

// TestFormMistakes makes one mistake at a time, and reads which flags the answer names.
func TestFormMistakes(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Form)
		want   string // the message begins with it
	}{
		{"no name", func(f *Form) { f.Name = "" }, "--name"},
		{"blank before the name", func(f *Form) { f.Name = " a" }, "--name"},
		{"long name", func(f *Form) { f.Name = strings.Repeat("a", 129) }, "--name"},
		{"name of two lines", func(f *Form) { f.Name = "a\nb" }, "--name"},
		{"no system", func(f *Form) { f.OS = "" }, "--os"},
		{"no action", func(f *Form) { f.Action = "" }, "--action"},
		{"no priority", func(f *Form) { f.Priority = "" }, "--priority"},
		{"priority with a zero before it", func(f *Form) { f.Priority = "05" }, "--priority"},
		{"protocol", func(f *Form) { f.Protocol = "ftp" }, "--protocol"},
		{"LAUNCH without a file", func(f *Form) { f.File = "" }, "--file"},
		{"STORE without a file", func(f *Form) { *f = Form{Name: "a", OS: "linux", Action: "STORE", Priority: "1", Path: "/x"} }, "--file"},
		{"LAUNCH without a command", func(f *Form) { f.Command = "" }, "--command"},
		{"LAUNCH with a path", func(f *Form) { f.Path = "/x" }, "--path"},
		{"command with an open quote", func(f *Form) { f.Command = `run.sh "a` }, "--command"},
		{"command that ends in a backslash", func(f *Form) { f.Command = `run.sh a\` }, "--command"},
		{"command with an open variable", func(f *Form) { f.Command = "run.sh ${A" }, "--command"},
		{"program out of the archive", func(f *Form) { f.Command = "/bin/sh run.sh" }, "--command"},
		{"path that climbs", func(f *Form) { f.Action, f.Command, f.Path = "STORE", "", "/opt/../x" }, "--path"},
		{"relative path", func(f *Form) { f.Action, f.Command, f.Path = "STORE", "", "opt/x" }, "--path"},
		{"STORE with a command", func(f *Form) { f.Action, f.Path = "STORE", "/x" }, "--command"},
		{"STORE without a path", func(f *Form) { f.Action, f.Command = "STORE", "" }, "--path"},
		{"blank after the command", func(f *Form) { f.Command += " " }, "--command"},
		{"long command", func(f *Form) { f.Command = strings.Repeat("x", info.MaxTarget+1) }, "--command"},
		{"control character in the command", func(f *Form) { f.Command = "run.sh \x1b[31m" }, "--command"},
		{"command that reads backwards", func(f *Form) { f.Command = "run.sh \u202egnp" }, "--command"},
		{"command of broken UTF-8", func(f *Form) { f.Command = "run.sh \xff" }, "--command"},
		{"success codes", func(f *Form) { f.SuccessCodes = "0,x" }, "--success-codes"},
		{"timeout without a unit", func(f *Form) { f.ExecTimeout = "90" }, "--exec-timeout"},
		{"timeout of half a second", func(f *Form) { f.ExecTimeout = "1.5s" }, "--exec-timeout"},
		{"notice options without a text", func(f *Form) { f.UserMayCancel = true }, "--notify-text"},
		{"long notice", func(f *Form) { f.NotifyText = strings.Repeat("x", info.MaxNotice+1) }, "--notify-text"},
		{"control character in the notice", func(f *Form) { f.NotifyText = "a\x00" }, "--notify-text"},
		{"long closing text", func(f *Form) { f.CompletionText = strings.Repeat("x", info.MaxNotice+1) }, "--completion-text"},
		{"control character in the closing text", func(f *Form) { f.CompletionText = "a\x07" }, "--completion-text"},
		{"countdown", func(f *Form) { f.NotifyText, f.NotifyCountdown = "a", "-1s" }, "--notify-countdown"},
		{"delays that are not allowed", func(f *Form) { f.NotifyText, f.MaxDelays = "a", "3" }, "--max-delays"},
		{"no delays", func(f *Form) { f.NotifyText, f.UserMayDelay, f.MaxDelays = "a", true, "0" }, "--max-delays"},
		{"fragments too small", func(f *Form) { f.FragmentSize = "1" }, "--fragment-size"},
		{"fragments too large", func(f *Form) { f.FragmentSize = "17MiB" }, "--fragment-size"},
		{"fragments that are no size", func(f *Form) { f.FragmentSize = "lots" }, "--fragment-size"},
		{"fragments of nothing", func(f *Form) {
			*f = Form{Name: "a", OS: "linux", Action: "EXECUTE", Priority: "1", Command: "true", FragmentSize: "1MiB"}
		}, "--fragment-size"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			form := valid(t)
			c.change(&form)
			order, err := form.read()
			var mistakes *FormError
			if !errors.As(err, &mistakes) {
				t.Fatalf("got %v, %v", order, err)
			}
			if len(mistakes.Mistakes) != 1 || !mistakes.Usage || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %q, usage %v; want one mistake of %s", mistakes.Mistakes, mistakes.Usage, c.want)
			}
		})
	}
}

// TestFileMistakes: what is wrong with the file is not wrong usage.
func TestFileMistakes(t *testing.T) {
	for name, path := range map[string]string{
		"missing": filepath.Join(t.TempDir(), "none"), "a folder": t.TempDir(), "empty": write(t, "empty", nil), "a device": os.DevNull,
	} {
		form := valid(t)
		form.File = path
		_, err := form.read()
		var mistakes *FormError
		if !errors.As(err, &mistakes) || mistakes.Usage || len(mistakes.Mistakes) != 1 ||
			!strings.HasPrefix(err.Error(), "--file") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestAcceptedFormsArePublishable: whatever the form accepts, agents do too, so that no mistake comes to light
// only after the archive has been cut.
func TestAcceptedFormsArePublishable(t *testing.T) {
	file := write(t, "p.tar.gz", []byte("x"))
	accepted := 0
	rapid.Check(t, func(r *rapid.T) {
		text := func(name string) string {
			return rapid.OneOf(rapid.SampledFrom([]string{"", "0", "1", "5", "60s", "2h", "run.sh -x", "a\nb", "a\tb", "\uffff", "\u200b"}),
				rapid.String(), rapid.StringN(1, 3000, 5000)).Draw(r, name)
		}
		form := Form{
			Name: "a", OS: rapid.SampledFrom([]string{"linux", "windows"}).Draw(r, "os"), File: file,
			Action:   rapid.SampledFrom([]string{"LAUNCH", "EXECUTE", "STORE"}).Draw(r, "action"),
			Priority: rapid.SampledFrom([]string{"0", "10"}).Draw(r, "priority"),
			Command:  text("command"), SuccessCodes: rapid.SampledFrom([]string{"", "0", "0,1641,3010,3011", "7,7,-1"}).Draw(r, "codes"),
			ExecTimeout: rapid.SampledFrom([]string{"", "1s", "2h"}).Draw(r, "timeout"), NotifyText: text("notice"),
			CompletionText: text("closing"),
		}
		if form.NotifyText != "" {
			form.NotifyCountdown = rapid.SampledFrom([]string{"", "0", "60s"}).Draw(r, "countdown")
			form.UserMayDelay = rapid.Bool().Draw(r, "may delay")
		}
		if form.Action == "STORE" {
			form.Path, form.Command = form.Command, ""
		}
		order, err := form.read()
		if err != nil {
			return
		}
		defer order.close()
		accepted++
		plan, err := fragment.NewPlan(order.size, order.fragmentSize)
		if err != nil {
			r.Fatal(err)
		}
		made := order.info
		made.ID, made.Issued, made.Deployment = 1, time.Unix(1, 0), "test"
		made.Archive = &info.Archive{Plan: plan, Entries: 1, Digest: core.DigestOf(nil)}
		if err := made.Check(); err != nil {
			r.Fatalf("%+v is accepted, and refused at the end: %v", form, err)
		}
	})
	if accepted == 0 {
		t.Error("no form was accepted, so nothing was tried")
	}
	t.Logf("%d forms were accepted", accepted)
}
