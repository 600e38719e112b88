// Package staff owns the vendor's side of access: management keys of an
// environment and what their back-office roles may do (product 14).
//
// Table: management_keys.
package staff
