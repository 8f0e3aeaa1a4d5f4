package ocs

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"enjambre/core"
)

func TestProgressReply(t *testing.T) {
	epoch := bytes.Repeat([]byte{1, 2, 255}, 38)
	golden(t, "golden-progress-reply.xml", ProgressReply{Epoch: epoch}.Append(nil))
	got, err := ParseProgressReply(read(t, "golden-progress-reply.xml"))
	if err != nil || !bytes.Equal(got.Epoch, epoch) {
		t.Errorf("got %v, %v", got, err)
	}
	both := ProgressReply{Epoch: epoch, Notice: bytes.Repeat([]byte{7}, MaxNotice)}
	if got, err := ParseProgressReply(both.Append(nil)); err != nil || !bytes.Equal(got.Epoch, epoch) ||
		!bytes.Equal(got.Notice, both.Notice) {
		t.Errorf("with a notice: %v, %v", got, err)
	}
	if nothing := (ProgressReply{}).Append(nil); len(nothing) != 0 {
		t.Errorf("without epoch: %q", nothing)
	}
	for name, document := range map[string]string{
		"empty":               "",
		"another reply":       "<REPLY><RESPONSE>STOP</RESPONSE></REPLY>",
		"no word":             "<REPLY/>",
		"an epoch of nothing": "<REPLY><EPOCH></EPOCH></REPLY>",
	} {
		if got, err := ParseProgressReply([]byte(document)); err != nil || got.Epoch != nil {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	long := base64.StdEncoding.EncodeToString(make([]byte, MaxEpoch+1))
	for name, one := range map[string]struct {
		document string
		class    core.Class
	}{
		"no XML":     {"EPOCH", core.ClassXML},
		"no reply":   {"<REQUEST><EPOCH>AA==</EPOCH></REQUEST>", core.ClassXML},
		"twice":      {"<REPLY><EPOCH>AA==</EPOCH><EPOCH>AA==</EPOCH></REPLY>", core.ClassXML},
		"no base64":  {"<REPLY><EPOCH>A</EPOCH></REPLY>", core.ClassField},
		"loose ends": {"<REPLY><EPOCH>AB==</EPOCH></REPLY>", core.ClassField},
		"a long one": {"<REPLY><EPOCH>" + long + "</EPOCH></REPLY>", core.ClassLimit},
		"long notice": {"<REPLY><NOTICE>" + base64.StdEncoding.EncodeToString(make([]byte, MaxNotice+1)) + "</NOTICE></REPLY>",
			core.ClassLimit},
		"half of one": {"<REPLY><EPOCH>AA==</EPOCH>", core.ClassXML},
	} {
		if got, err := ParseProgressReply([]byte(one.document)); core.ClassOf(err) != one.class {
			t.Errorf("%s: got %v, %v, want %s", name, got, err, one.class)
		}
	}
}

// TestProgressWait: that the answer may wait is said if it may, in whole seconds within bounds.
func TestProgressWait(t *testing.T) {
	read := func(document string) (Progress, error) {
		request, err := ParseRequest([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		return request.Progress()
	}
	for _, one := range []struct{ said, want Progress }{
		{Progress{Wait: 45 * time.Second, Known: 9}, Progress{Wait: 45 * time.Second, Known: 9}},
		{Progress{Wait: time.Hour, Known: 1<<64 - 1}, Progress{Wait: MaxWait, Known: 1<<63 - 1}},
		{Progress{Known: 9}, Progress{}},
		{Progress{Wait: 999 * time.Millisecond}, Progress{}},
	} {
		got, err := read(string(one.said.Append(nil, "pc-2026-01-01-00-00-00")))
		if err != nil || got.Wait != one.want.Wait || got.Known != one.want.Known {
			t.Errorf("%+v: got %+v, %v", one.said, got, err)
		}
	}
	const around = `<REQUEST DEVICEID="pc-2026-01-01-00-00-00" QUERY="PROGRESS">%s</REQUEST>`
	for _, news := range []string{`<NEWS WAIT="61"/>`, `<NEWS WAIT="-1"/>`, `<NEWS KNOWN="x" WAIT="1"/>`} {
		if got, err := read(fmt.Sprintf(around, news)); core.ClassOf(err) != core.ClassLimit {
			t.Errorf("%s: got %+v, %v", news, got, err)
		}
	}
}

func FuzzParseProgressReply(f *testing.F) {
	f.Add([]byte{})
	f.Add(read(f, "golden-progress-reply.xml"))
	f.Add([]byte(`<REPLY EPOCH="AA=="/>`))
	f.Fuzz(func(t *testing.T, document []byte) {
		reply, err := ParseProgressReply(document)
		if err != nil {
			if core.ClassOf(err) == "" {
				t.Fatalf("error without class: %v", err)
			}
			return
		}
		again, err := ParseProgressReply(reply.Append(nil))
		if err != nil || !bytes.Equal(reply.Epoch, again.Epoch) {
			t.Fatalf("round trip: %v, %v, %v", reply, again, err)
		}
	})
}
