// Package i18n says in a person's language what the program says in English. It
// owns no table.
//
// English is the language of the source: a message is its own key, with
// placeholders in braces ("Signed in as {email}."). A Catalogue holds what the
// messages are in other languages; a message that it lacks stays English. Whole
// sentences are messages, never parts of them: the order of words differs.
package i18n
