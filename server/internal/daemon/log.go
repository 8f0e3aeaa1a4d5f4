package daemon

import (
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"gopkg.in/natefinch/lumberjack.v2"
)

// Bounds of logs: each is rotated at 64 MiB, and ten old files are kept.
const (
	maxLogMegabytes = 64
	maxLogFiles     = 10
)

// logFiles are the server's two logs.
type logFiles struct {
	access, errors *slog.Logger
	files          []*lumberjack.Logger
}

func openLogs(folder string, stderr io.Writer) *logFiles {
	rotated := func(name string) *lumberjack.Logger {
		return &lumberjack.Logger{
			Filename:   filepath.Join(folder, "logs", name),
			MaxSize:    maxLogMegabytes,
			MaxBackups: maxLogFiles,
		}
	}
	l := &logFiles{files: []*lumberjack.Logger{rotated("access.log"), rotated("error.log")}}
	l.access = slog.New(slog.NewTextHandler(l.files[0], nil))
	handler := slog.Handler(slog.NewTextHandler(l.files[1], nil))
	if stderr != nil {
		handler = slog.NewMultiHandler(handler,
			slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	l.errors = slog.New(handler)
	return l
}

func (l *logFiles) close() {
	for _, file := range l.files {
		_ = file.Close() // written already
	}
}

// handshakes logs what net/http complains about. That an agent refuses our certificate is the most
// frequent reason why packages stay NOTIFIED, so it is said in words that help.
type handshakes struct{ log *slog.Logger }

// Write logs one complaint.
func (h handshakes) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	hint := ""
	switch {
	case strings.Contains(text, "unknown certificate authority"), strings.Contains(text, "bad certificate"):
		hint = "this agent does not trust our certificate: give it the data folder's cacert.pem"
	case strings.Contains(text, "client sent an HTTP request to an HTTPS server"):
		hint = "plain HTTP was spoken to the HTTPS port"
	}
	h.log.Warn("connection failed", "reason", text, "hint", hint)
	return len(line), nil
}
