// A shortener of addresses: one program with Go's standard library and an embedded page.
package main

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"
)

//go:embed page/index.html
var files embed.FS

var page = template.Must(template.ParseFS(files, "page/index.html"))

type server struct{ links *Links }

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8000"
	}
	app := &server{links: NewLinks()}
	listener := &http.Server{Addr: ":" + port, Handler: app.routes(), ReadHeaderTimeout: 10 * time.Second}

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	go func() {
		<-stop.Done()
		deadline, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		if err := listener.Shutdown(deadline); err != nil {
			log.Print(err)
		}
	}()

	log.Printf("shortener listens on port %s", port)
	if err := listener.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.show)
	mux.HandleFunc("POST /{$}", s.shorten)
	mux.HandleFunc("GET /{code}", s.follow)
	return mux
}

func (s *server) show(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, s.links.Newest(20)); err != nil {
		log.Print(err)
	}
}

func (s *server) shorten(w http.ResponseWriter, r *http.Request) {
	address, err := url.Parse(r.PostFormValue("address"))
	if err != nil || address.Host == "" || (address.Scheme != "http" && address.Scheme != "https") {
		http.Error(w, "That is not a valid address: it must begin with https:// or http://.", http.StatusUnprocessableEntity)
		return
	}
	s.links.Add(address.String())
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *server) follow(w http.ResponseWriter, r *http.Request) {
	address, known := s.links.Follow(r.PathValue("code"))
	if !known {
		http.Error(w, "This instance knows no such link.", http.StatusNotFound)
		return
	}
	http.Redirect(w, r, address, http.StatusFound)
}
