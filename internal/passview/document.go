package passview

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/color"
	"math"
	"strconv"
	"strings"
)

// object is a JSON object of which nothing is known.
type object map[string]any

// maxDocument bounds pass.json, in bytes: it costs some forty times as much in
// memory.
const maxDocument = 2 << 20

// parseDocument reads pass.json. Only what is no JSON object at all is an error.
func parseDocument(data []byte) (object, error) {
	if len(data) > maxDocument {
		return nil, fmt.Errorf("passview: pass.json has %d bytes, and at most %d are read", len(data), maxDocument)
	}
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	d.UseNumber() // a member number of 17 digits is shown as it is
	var o object
	if err := d.Decode(&o); err != nil {
		return nil, fmt.Errorf("passview: pass.json is not a JSON object: %w", err)
	}
	return o, nil
}

// text returns a string, or what else can be shown as one.
func (o object) text(key string) string {
	switch v := o[key].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

func (o object) is(key string) bool { v, _ := o[key].(bool); return v }

func (o object) has(key string) bool { _, ok := o[key]; return ok }

func (o object) object(key string) object { v, _ := o[key].(map[string]any); return v }

// list returns the objects of an array and passes over everything else in it.
func (o object) list(key string) (list []object) {
	all, _ := o[key].([]any)
	for _, v := range all {
		if m, ok := v.(map[string]any); ok {
			list = append(list, m)
		}
	}
	return list
}

func (o object) texts(key string) (list []string) {
	all, _ := o[key].([]any)
	for _, v := range all {
		if s, ok := v.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

// color reads the forms that Apple's decoder takes: rgb(r, g, b), #RGB, #RRGGBB.
func (o object) color(key string) (color.NRGBA, bool) {
	s := strings.TrimSpace(o.text(key))
	if name, inner, ok := strings.Cut(s, "("); ok && (name == "rgb" || name == "rgba") {
		parts := strings.Split(strings.TrimSuffix(inner, ")"), ",")
		opacity := 1.0
		if name == "rgba" {
			if len(parts) != 4 {
				return color.NRGBA{}, false
			}
			var err error
			if opacity, err = strconv.ParseFloat(strings.TrimSpace(parts[3]), 64); err != nil || !(0 <= opacity && opacity <= 1) {
				return color.NRGBA{}, false
			}
			parts = parts[:3]
		}
		if len(parts) != 3 {
			return color.NRGBA{}, false
		}
		var c [3]uint8
		for i, p := range parts {
			n, err := strconv.ParseUint(strings.TrimSpace(p), 10, 8)
			if err != nil {
				return color.NRGBA{}, false
			}
			c[i] = uint8(n)
		}
		return color.NRGBA{c[0], c[1], c[2], uint8(math.Round(opacity * 255))}, true
	}
	hex, ok := strings.CutPrefix(s, "#")
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if !ok || len(hex) != 6 || err != nil {
		return color.NRGBA{}, false
	}
	return color.NRGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), 255}, true
}
