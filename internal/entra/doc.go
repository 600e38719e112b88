// Package entra knows what is peculiar to Microsoft Entra ID for both sign-in
// protocols: which issuers are its, which national cloud they belong to, and how
// a person's groups are read from Microsoft Graph when a token or an assertion
// leaves them out (groups overage: 200 groups in a JWT, 150 in an assertion).
//
// The address that a token names for its missing groups is never asked: it is
// the token's word, and it is an address of the retired Azure AD Graph besides.
package entra
