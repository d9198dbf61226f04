package loginui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// messages holds every text of one language by message id; {name} in a text is
// a placeholder. The ids "lang" and "dir" name the language and its direction.
type messages map[string]string

const fallbackLanguage = "en"

func readLanguages(fsys fs.FS) (map[string]messages, error) {
	names, err := fs.Glob(fsys, "messages/*.json")
	if err != nil {
		return nil, fmt.Errorf("loginui: messages: %w", err)
	}
	languages := make(map[string]messages, len(names))
	for _, name := range names {
		raw, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("loginui: messages: %w", err)
		}
		var m messages
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, fmt.Errorf("loginui: %s: %w", name, err)
		}
		languages[strings.TrimSuffix(path.Base(name), ".json")] = m
	}
	if languages[fallbackLanguage] == nil {
		return nil, errors.New("loginui: no messages in " + fallbackLanguage)
	}
	return languages, nil
}

// language picks the texts for the first BCP 47 tag whose primary subtag is
// spoken here.
func (u *UI) language(tags []string) messages {
	for _, tag := range tags {
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if m, ok := u.languages[primary]; ok {
			return m
		}
	}
	return u.languages[fallbackLanguage]
}

// words speaks one language and remembers the first text that was missing.
type words struct {
	messages messages
	err      error
}

// say returns the text of id with its placeholders filled from name-value pairs.
func (w *words) say(id string, pairs ...string) string {
	text, ok := w.messages[id]
	if !ok && w.err == nil {
		w.err = fmt.Errorf("loginui: no message %q", id)
	}
	if len(pairs) == 0 {
		return text
	}
	fill := make([]string, len(pairs))
	for i, s := range pairs {
		if i%2 == 0 {
			s = "{" + s + "}"
		}
		fill[i] = s
	}
	return strings.NewReplacer(fill...).Replace(text)
}

// sayOr is say with another message where the language has no id.
func (w *words) sayOr(id, other string, pairs ...string) string {
	if _, ok := w.messages[id]; !ok {
		id = other
	}
	return w.say(id, pairs...)
}
