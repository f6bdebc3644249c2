package sqlite

import "database/sql"

// Connections returns the writer and the readers.
func Connections(s *Store) []*sql.DB { return []*sql.DB{s.write, s.read} }

// Statements returns the texts of all prepared statements.
func Statements(s *Store) (texts []string) {
	for _, p := range s.table() {
		texts = append(texts, p.text)
	}
	return texts
}
