//go:build race

package engine

// stories is how many the model test plays. Each takes ten times as long under the
// race detector.
const stories = "10"
