package daemon

import (
	"io"
	"log/slog"
	"path/filepath"

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
