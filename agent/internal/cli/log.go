package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"gopkg.in/natefinch/lumberjack.v2"

	"enjambre/agent/internal/config"
)

// logName is the log's name in the state folder.
const logName = "agent.log"

// logFile returns the log's file, "" for the standard error output.
func logFile(settings config.Config, service bool) string {
	switch {
	case settings.LogFile != config.LogAuto:
		return settings.LogFile
	case service:
		return filepath.Join(settings.State, logName)
	}
	return ""
}

// openLog opens the log. With a file, warnings go to the standard error output too, where a service manager's
// journal shows them. The state folder must be there.
func openLog(settings config.Config, service bool, stderr io.Writer) (log *slog.Logger, done func() error,
	err error) {
	level := slog.LevelInfo
	if settings.Debug {
		level = slog.LevelDebug
	}
	name := logFile(settings, service)
	if name == "" {
		handler := slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})
		return slog.New(handler), func() error { return nil }, nil
	}
	probe, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // now, not with the first line
	if err == nil {
		err = probe.Close()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("log file: %w", err)
	}
	file := &lumberjack.Logger{Filename: name, MaxSize: settings.LogMaxMB, MaxBackups: settings.LogKeep}
	return slog.New(slog.NewMultiHandler(
		slog.NewTextHandler(file, &slog.HandlerOptions{Level: level}),
		slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}),
	)), file.Close, nil
}
