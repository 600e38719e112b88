package oidc

import (
	"encoding/json"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

const (
	templateColumns = `id, environment_id, name, priority, settings, version, created_at, updated_at`

	sqlTemplates = `SELECT ` + templateColumns + ` FROM jwt_templates WHERE environment_id = $1 ORDER BY priority, id`

	sqlTemplate = `SELECT ` + templateColumns + ` FROM jwt_templates WHERE environment_id = $1 AND id = $2`

	sqlCountTemplates = `SELECT COUNT(*) FROM jwt_templates WHERE environment_id = $1`

	// Of two that are made at once the second waits, and counts the first.
	sqlLockEnvironment = `SELECT id FROM environments WHERE id = $1 AND deleted_at IS NULL`

	sqlInsertTemplate = `INSERT INTO jwt_templates (environment_id, id, name, priority, settings, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6)`

	sqlUpdateTemplate = `UPDATE jwt_templates SET name = $3, priority = $4, settings = $5, version = version + 1, updated_at = $6
WHERE environment_id = $1 AND id = $2`

	sqlDeleteTemplate = `DELETE FROM jwt_templates WHERE environment_id = $1 AND id = $2`
)

func scanTemplate(r db.Row) (Template, error) {
	var t Template
	var settings string
	var created, updated db.Time
	if err := r.Scan(&t.ID, &t.Environment, &t.Name, &t.Priority, &settings, &t.Version, &created, &updated); err != nil {
		return Template{}, err
	}
	t.CreatedAt, t.UpdatedAt = created.Time, updated.Time
	return t, json.Unmarshal([]byte(settings), &t.TemplateSettings)
}
