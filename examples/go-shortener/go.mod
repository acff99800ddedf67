module shortener

go 1.24
