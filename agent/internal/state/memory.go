package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"enjambre/agent/internal/durable"
	"enjambre/core"
)

// damagedSuffix ends the name under which a file is put aside that cannot be read, for people to look at.
const damagedSuffix = ".damaged"

// Load reads a JSON file of the folder, name.json, strictly; one that is missing leaves value as it is.
func (f *Folder) Load(name string, value any) error {
	data, err := f.read(name + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := decode(data, value); err != nil {
		return core.Refuse(core.ClassFormat, "%s is damaged: %v", f.file(name+".json"), err)
	}
	return nil
}

// Recall reads a JSON file of the folder, name.json, of which the agent can do without: what is missing or damaged is
// as before was. What is damaged is put aside, as name.json.damaged, and named in the error, which is for the log.
func Recall[T any](f *Folder, name string, before T) (T, error) {
	var value T
	data, err := json.Marshal(before) // so that what is read in vain leaves no trace in what before refers to
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	if err == nil {
		err = f.Load(name, &value)
	}
	if err == nil {
		return value, nil
	}
	return before, errors.Join(err, f.putAside(name+".json"))
}

// putAside gives a file that cannot be read another name. One that was put aside before goes.
func (f *Folder) putAside(name string) error {
	aside := f.file(name + damagedSuffix)
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if err := durable.Rename(f.file(name), aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state folder: %w", err)
	}
	return nil
}

// decode reads one JSON value without fields that nobody knows, and nothing behind it.
func decode(data []byte, value any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(value)
	if errors.Is(err, io.EOF) {
		return errors.New("it is empty")
	}
	if err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind its end")
	}
	return nil
}

// Save writes a JSON file of the folder, name.json, at most 1 MiB.
func (f *Folder) Save(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if len(data) > maxFile {
		return core.Refuse(core.ClassLimit, "%s would have %d bytes: at most %d are allowed", f.file(name+".json"),
			len(data), maxFile)
	}
	return f.write(name+".json", append(data, '\n'))
}

// Publish writes a JSON file of the folder, name.json, for other processes to read. It is replaced at once but not
// synced: after a power loss it may be the one before, or empty.
func (f *Folder) Publish(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	draft := f.file(durable.TempPrefix + name)
	if err := os.WriteFile(draft, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(draft, f.file(name+".json"))
}
