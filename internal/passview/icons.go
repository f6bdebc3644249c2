package passview

// transitIcon draws Apple's kinds of transport as simple shapes in a square.
func transitIcon(o pen, transit string, x, y, size float64) {
	points := func(list ...[2]float64) { o.polygon(x, y, size, list...) }
	box := func(l, t, w, h, r float64) {
		o.rounded(rect{x + l*size, y + t*size, w * size, h * size}, r*size)
	}
	// A hole is an outline that runs the other way.
	hole := func(l, t, w, h float64) {
		points([2]float64{l, t}, [2]float64{l, t + h}, [2]float64{l + w, t + h}, [2]float64{l + w, t})
	}
	switch transit {
	case "PKTransitTypeAir": // seen from above, flying to the right
		points(
			[2]float64{0.99, 0.5}, [2]float64{0.95, 0.455}, [2]float64{0.86, 0.43}, [2]float64{0.64, 0.43},
			[2]float64{0.42, 0.04}, [2]float64{0.32, 0.04}, [2]float64{0.43, 0.43}, [2]float64{0.19, 0.43},
			[2]float64{0.1, 0.3}, [2]float64{0.03, 0.3}, [2]float64{0.08, 0.5}, [2]float64{0.03, 0.7},
			[2]float64{0.1, 0.7}, [2]float64{0.19, 0.57}, [2]float64{0.43, 0.57}, [2]float64{0.32, 0.96},
			[2]float64{0.42, 0.96}, [2]float64{0.64, 0.57}, [2]float64{0.86, 0.57}, [2]float64{0.95, 0.545})
	case "PKTransitTypeTrain", "PKTransitTypeBus":
		round, low := 0.18, 0.78
		if transit == "PKTransitTypeBus" {
			round = 0.08
		}
		box(0.2, 0.05, 0.6, low-0.02, round)
		hole(0.28, 0.2, 0.44, 0.28)
		hole(0.28, 0.64, 0.1, 0.07)
		hole(0.62, 0.64, 0.1, 0.07)
		if transit == "PKTransitTypeBus" {
			box(0.25, 0.8, 0.12, 0.14, 0.03)
			box(0.63, 0.8, 0.12, 0.14, 0.03)
		} else {
			points([2]float64{0.32, 0.84}, [2]float64{0.42, 0.84}, [2]float64{0.3, 0.97}, [2]float64{0.19, 0.97})
			points([2]float64{0.58, 0.84}, [2]float64{0.68, 0.84}, [2]float64{0.81, 0.97}, [2]float64{0.7, 0.97})
		}
	case "PKTransitTypeBoat":
		points([2]float64{0.06, 0.62}, [2]float64{0.94, 0.62}, [2]float64{0.78, 0.86}, [2]float64{0.2, 0.86})
		points([2]float64{0.48, 0.06}, [2]float64{0.52, 0.06}, [2]float64{0.84, 0.55}, [2]float64{0.52, 0.55}, [2]float64{0.48, 0.55})
		points([2]float64{0.43, 0.2}, [2]float64{0.43, 0.55}, [2]float64{0.16, 0.55})
	default: // an arrow
		points([2]float64{0.08, 0.44}, [2]float64{0.62, 0.44}, [2]float64{0.62, 0.26}, [2]float64{0.94, 0.5},
			[2]float64{0.62, 0.74}, [2]float64{0.62, 0.56}, [2]float64{0.08, 0.56})
	}
}
