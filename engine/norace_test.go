//go:build !race

package engine

// stories is how many the model test plays.
const stories = "25"
