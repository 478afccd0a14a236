"""Backup and restore: all that an installation keeps, as files that any store and any database can be filled from.

::

    manifest.json                           what is in it, of which moment, with a digest of every file
    records/{table}.parquet                 every table, by its columns' names
    readings/{day}.parquet                  every reading of a day (UTC) with its birth certificate
    journal/{worker}/{first}.journal        what every worker had received and not stored yet
    settings/                               settings file, settings as they were in force, rules file

Files that hold passwords, tokens or keys are not in it, since settings only name them. What the records keep of
passwords and tokens (digests) is.

It is of one moment, though everything goes on meanwhile. For an instant no position of a journal may move: then the
view of the records is taken and the journals' segments are opened. What was stored and not committed at that instant
waits in the journals: a reading is left out only if its message is in none of them, and so came later; the others are
known by their births when the restored journal is stored again.
"""
