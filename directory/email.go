package directory

// CheckEmail refuses what is no e-mail address. Fault: invalid_email, in email.
func CheckEmail(email string) error { return validEmail(email) }
