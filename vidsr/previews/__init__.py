"""A short part of a film before and after, to look at before the whole is done.

`excerpt` chooses the part, `preview` renders it, `page` shows it.
(Not named `preview`: `vidsr.preview` is the function.)"""
