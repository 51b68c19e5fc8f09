"""What happened to every frame and every face, for programs (JSON) and for people (a page).

`report.Report` is the value; `report_page` makes its page from `templates/`.
`contact_sheet` and `side_by_side` are pictures of faces, for other pages too."""
