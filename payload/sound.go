package payload

// A Sound is what an alert plays. The zero value plays nothing. A sound is
// either ordinary or critical, which is why this is one type and not two
// fields.
type Sound struct {
	name     string
	critical bool
	volume   float64
}

// DefaultSound plays the system's sound.
func DefaultSound() Sound { return Sound{name: "default"} }

// NamedSound plays a file of the app's bundle or of its Library/Sounds folder
// ("Generating a remote notification"). An empty name is silence, like the zero
// value.
func NamedSound(name string) Sound { return Sound{name: name} }

// CriticalSound plays through the mute switch and Do Not Disturb. The name is a
// file as in [NamedSound] or "default" and must not be empty; volume runs from
// 0 (silent) to 1 (full). The app needs the critical-alerts entitlement, which
// Apple grants on request; APNs does not check it, the device does.
func CriticalSound(name string, volume float64) Sound {
	return Sound{name: name, critical: true, volume: volume}
}

// IsZero reports whether nothing is played.
func (s Sound) IsZero() bool { return s.name == "" && !s.critical }

// IsCritical reports whether the sound was made by [CriticalSound].
func (s Sound) IsCritical() bool { return s.critical }

func (e *encoder) sound(parent string, s Sound) {
	if !s.critical {
		e.text(parent, "sound", s.name)
		return
	}
	path := parent + "/sound"
	if s.name == "" {
		e.problem(path+"/name", "a critical sound needs a name", `give a file name or "default"`)
	}
	if !(s.volume >= 0 && s.volume <= 1) {
		e.problem(path+"/volume", "the volume of a critical sound runs from 0 to 1",
			"divide a percentage by 100")
	}
	e.open("sound")
	e.integer("critical", 1)
	e.text(path, "name", s.name)
	e.float(path, "volume", s.volume)
	e.close()
}
