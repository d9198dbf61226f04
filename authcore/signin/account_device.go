package signin

import "strings"

// mark is a part of a User-Agent that tells something.
type mark struct{ token, name string }

// browserMarks are in this order because most browsers name those before them too.
func browserMarks() []mark {
	return []mark{
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
		{"Vivaldi/", "Vivaldi"}, {"YaBrowser/", "Yandex Browser"}, {"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Version/", "Safari"}, {"curl/", "curl"},
	}
}

// systemMarks are in this order because some systems name those below them too.
func systemMarks() []mark {
	return []mark{
		{"iPhone", "iOS"}, {"iPad", "iPadOS"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"},
		{"Macintosh", "macOS"}, {"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"}, {"Linux", "Linux"},
	}
}

// deviceOf is what a User-Agent tells of browser and system: as little as is
// sure, since most of it is there to deceive. Empty if nothing is known.
func deviceOf(agent string) string {
	var parts []string
	for _, marks := range [][]mark{browserMarks(), systemMarks()} {
		if name := firstMark(agent, marks); name != "" {
			parts = append(parts, name)
		}
	}
	return strings.Join(parts, ", ")
}

func firstMark(agent string, marks []mark) string {
	for _, m := range marks {
		if strings.Contains(agent, m.token) {
			return m.name
		}
	}
	return ""
}
