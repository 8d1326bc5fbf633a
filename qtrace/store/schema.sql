-- The source index: one file a QEMU tree. A function is named by `id`; files are relative to the tree.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- flags: which the file was read with (common, a target's, a build's). kconfig: the symbols it is built with.
CREATE TABLE files (file TEXT PRIMARY KEY, flags TEXT, errors TEXT, kconfig TEXT) WITHOUT ROWID;
-- Every file that the facts were made from, as it was read.
CREATE TABLE inputs (name TEXT, size INTEGER, mtime_ns INTEGER, sha256 TEXT);
CREATE TABLE functions (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, usr TEXT NOT NULL UNIQUE, file TEXT, line INTEGER,
    end INTEGER, static INTEGER, signature TEXT, guard TEXT
);
CREATE INDEX functions_name ON functions (name);
-- kind: direct, table, argument, async. evidence: JSON list of [file, line, why]. confidence: exact, by type.
-- parameter: the number of the caller's parameter that is called, -1 where it is none.
CREATE TABLE edges (
    caller INTEGER NOT NULL, callee INTEGER NOT NULL, file TEXT NOT NULL, line INTEGER NOT NULL,
    kind TEXT NOT NULL, rule TEXT NOT NULL, field TEXT NOT NULL, evidence TEXT NOT NULL,
    confidence TEXT NOT NULL, loop INTEGER NOT NULL, parameter INTEGER NOT NULL
);
CREATE INDEX edges_caller ON edges (caller);
CREATE INDEX edges_callee ON edges (callee);
CREATE TABLE unresolved (caller INTEGER NOT NULL, file TEXT, line INTEGER, target TEXT);
-- One row an initialised field of a static table. what: function (value is an id), enum, sizeof, ...
CREATE TABLE tables (
    variable TEXT, struct TEXT, field TEXT, what TEXT, value TEXT, "row" TEXT, file TEXT, line INTEGER
);
CREATE INDEX tables_struct ON tables (struct, field);
CREATE INDEX tables_variable ON tables (variable, file);
CREATE TABLE variables (name TEXT, type TEXT, file TEXT, line INTEGER);
-- A function or a table that becomes the value of Struct.field: by assignment or as an argument.
-- named: 1 where it is named here, 0 where another field's value is handed over.
CREATE TABLE registrations (
    field TEXT, what TEXT, value TEXT, rule TEXT, caller INTEGER, file TEXT, line INTEGER, named INTEGER
);
CREATE INDEX registrations_field ON registrations (field);
CREATE INDEX registrations_caller ON registrations (caller);
-- What a function hands on as which argument of which callee: a function (value is an id), a variable, a
-- parameter of its own (a number), a string.
CREATE TABLE passes (caller INTEGER, callee INTEGER, argument INTEGER, what TEXT, value TEXT, line INTEGER);
CREATE INDEX passes_caller ON passes (caller);
-- A function can make `other` run: it calls or names it, or a table or type that it is in.
CREATE TABLE mentions (function INTEGER, other INTEGER, PRIMARY KEY (function, other)) WITHOUT ROWID;
-- Strings and trace points of a function's body. what: string (as in C, without quotes), trace;
-- splits where it begins with a test that may end it.
CREATE TABLE uses (function INTEGER, what TEXT, value TEXT);
-- What a static table is in memory; what is in no cell is zero. what: whole (its size), number, function
-- (value is an id), variable, string, unknown.
CREATE TABLE cells (variable TEXT, file TEXT, "offset" INTEGER, size INTEGER, what TEXT, value TEXT);
CREATE TABLE backends (driver TEXT, guard TEXT, init TEXT, function INTEGER, file TEXT, line INTEGER);
CREATE TABLE structs (name TEXT, field TEXT, "offset" INTEGER, size INTEGER, type TEXT, total INTEGER);
CREATE INDEX structs_name ON structs (name);
CREATE TABLE enums (name TEXT, constant TEXT, value INTEGER);
