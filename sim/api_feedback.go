package sim

import "net/http"

// apiFeedback lists what waits to be read from the feedback service, without
// removing it.
func (s *Server) apiFeedback(r *http.Request) (any, error) {
	list := s.Feedback(r.URL.Query().Get("topic"))
	if list == nil {
		list = []Feedback{}
	}
	return map[string]any{"feedback": list}, nil
}

func (s *Server) apiAddFeedback(r *http.Request) (any, error) {
	var in Feedback
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	if err := s.AddFeedback(in); err != nil {
		return nil, err
	}
	return created{map[string]any{"feedback": s.Feedback(in.Topic)}}, nil
}

func (s *Server) apiClearFeedback(*http.Request) (any, error) {
	s.ClearFeedback()
	return nil, nil
}
